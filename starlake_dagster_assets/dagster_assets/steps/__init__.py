"""The body of a step: from the selected assets to commands, retries and recorded facts."""
