"""What an operator watches and turns: metrics, logs."""
