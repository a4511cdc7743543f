"""What training reads again and again, made once and kept on disk: drawn clips, and their latents."""
