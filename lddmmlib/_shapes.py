"""Shape annotations: those of jaxtyping if it is installed (the tests check them), inert stand-ins otherwise."""

try:
    from jaxtyping import Bool, Float, Int
except ModuleNotFoundError:  # `import lddmmlib` needs numpy and torch alone

    class _Inert:
        def __class_getitem__(cls, item: tuple) -> type:
            return item[0]  # Float[Tensor, "n 2"] reads as Tensor

    Bool = Float = Int = _Inert

__all__ = ["Bool", "Float", "Int"]
