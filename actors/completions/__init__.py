"""A large model behind an OpenAI-compatible completions server (vLLM, SGLang, llama.cpp)."""
