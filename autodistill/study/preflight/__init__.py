"""What is known, and refused, before anything is trained."""
