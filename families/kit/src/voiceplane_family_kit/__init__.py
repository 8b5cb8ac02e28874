"""What several families share: streaming, speed, recordings, and the loading of torch and onnxruntime."""
