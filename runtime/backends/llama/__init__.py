"""GGUF models through the C API of llama.cpp, as llama-cpp-python binds it."""
