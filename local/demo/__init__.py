"""The demo: the main job as a story, every line of which is checked."""
