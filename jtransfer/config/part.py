"""What the parts of the configuration have in common: each says for itself what it cannot be."""


class Part:
    """Settings of one subject, a dataclass. Its defaults can always be."""

    def check(self, where: str) -> None:
        """Raises `UserError` for values that cannot be, whatever the other parts say; they are of their declared types.

        Args:
            where: what stands before the name of a field in messages: `data.` or, of a flag, `--`.
        """
        raise NotImplementedError
