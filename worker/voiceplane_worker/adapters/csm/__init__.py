"""Sesame CSM (https://github.com/SesameAILabs/csm) by transformers, streamed frame by frame, with LoRA adapters."""
