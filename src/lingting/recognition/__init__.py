"""The domain: what was said and when, the engine protocols, one-shot and live recognition, batching."""
