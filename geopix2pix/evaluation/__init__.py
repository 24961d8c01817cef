"""Models judged on whole scenes, in one report."""
