"""The paper's tables and its figure as commands: published figures beside measured ones."""
