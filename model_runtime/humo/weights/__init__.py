"""Where HuMo's weights come from, how they lie on disk, how they are checked and how they reach a device."""
