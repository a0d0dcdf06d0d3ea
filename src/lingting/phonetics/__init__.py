"""Chinese by sound: words that sound alike, a small language model, hot words."""
