"""What a user of the plugin can mend."""


class LayerError(Exception):
    """A layer cannot be used as it is. The message says what was asked, what was found and what to do."""
