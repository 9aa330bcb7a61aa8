"""The main job as a story whose every line is checked."""
