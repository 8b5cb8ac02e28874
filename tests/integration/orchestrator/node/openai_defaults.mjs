// OpenAI's SDK for JavaScript on its defaults: `node openai_defaults.mjs http://127.0.0.1:8080/v1 FOLDER`.
// Files go to FOLDER; what the server said is printed as JSON.
import fs from "node:fs";
import path from "node:path";
import OpenAI from "openai";

const [baseURL, folder] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const input = "Today is a wonderful day to build something people love!";
const at = (name) => path.join(folder, name);
const found = {};

found.models = (await client.models.list()).data.map(({ id }) => id);
found.model = (await client.models.retrieve("tts-1")).id;

const speech = await client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "coral", input });
found.content_type = speech.headers.get("content-type");
fs.writeFileSync(at("speech.mp3"), Buffer.from(await speech.arrayBuffer()));
for (const format of ["opus", "aac", "flac", "wav", "pcm"]) {
  const file = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input, response_format: format });
  fs.writeFileSync(at(`speech.${format}`), Buffer.from(await file.arrayBuffer()));
}

const heard = (more) =>
  client.audio.transcriptions.create({ file: fs.createReadStream(at("speech.mp3")), model: "whisper-1", ...more });
found.text = (await heard({})).text;
found.words = (await heard({ response_format: "verbose_json", timestamp_granularities: ["word"] })).words.length;
found.events = [];
for await (const event of await heard({ stream: true })) found.events.push(event.type);

try {
  await client.audio.speech.create({ model: "no-such-model", voice: "alloy", input });
} catch (error) {
  found.error = { status: error.status, param: error.param, type: error.type };
}
console.log(JSON.stringify(found));
