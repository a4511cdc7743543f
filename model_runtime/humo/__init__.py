"""HuMo: text, reference pictures and speech in, video of people out (arXiv 2509.08519; Phantom-video/HuMo)."""
