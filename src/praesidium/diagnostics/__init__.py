"""What a trained policy is worth: measures of its episodes."""
