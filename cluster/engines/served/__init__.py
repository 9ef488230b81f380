"""Servers that speak OpenAI's API: `openai` for those that run already, `server` for an engine's own."""
