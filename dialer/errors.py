"""The root of the dialer's own errors. Leaves live beside the code that raises them; their docstring is the message."""


class DialerError(Exception):
    """Something the dialer can name went wrong."""

    def __str__(self) -> str:
        """The arguments, or the first line of the docstring when there are none."""
        return super().__str__() or (self.__doc__ or type(self).__name__).strip().splitlines()[0]
