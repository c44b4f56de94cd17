"""What timm's names, arguments and configurations mean here."""
