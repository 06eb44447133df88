"""Machine code of a rule with all that it calls: one library, optimised once.

Left alone, numba optimises each function and makes machine code of it before it turns to what
calls it, with a way in from Python, and anew for every kind of integer and every constant that it
is called with. Of a hundred rules that call each other that is nearly all of the work; and what
comes of it hands every array on from rule to rule, figure by figure.

- A *part* is a rule that only other rules call. It is linked as it stands, and all its integers
  have 64 bits.
- The *whole* is the rule that is called from outside. When all is linked nobody else can call a
  part, so the optimiser inlines it, or leaves out what it is given and does not use.

numba lets a compiler be put together of passes; what its libraries do at their end is its own
affair, so its version is bounded in pyproject.toml. Imported by `compiled` when it makes something.
"""

from types import FunctionType
from typing import Any

from llvmlite.binding import Linkage
from numba import config, njit, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import IRLegalization

_CONFIG: Any = config  # its figures are set while it is imported
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}


def part(rule: FunctionType, *, inline: bool) -> Any:  # noqa: ANN401 - a compiler's dispatcher has no useful type
    """Make a part of a rule.

    Args:
        rule: whatever it calls is a part.
        inline: whether it becomes part of what calls it in any case.
    """
    if _CONFIG.DISABLE_JIT:  # as `njit` does
        return rule
    wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    options = _OPTIONS | wrappers | {"nopython": True, "forceinline": inline}
    return _Part(py_func=rule, targetoptions=options, pipeline_class=_PartCompiler)


def whole(rule: FunctionType, *, kept: bool) -> Any:  # noqa: ANN401 - as above
    """Make the whole of a rule.

    Args:
        rule: whatever it calls is a part.
        kept: whether its machine code is kept for later processes, beside the rule's file.
    """
    return njit(**_OPTIONS, cache=kept, pipeline_class=_WholeCompiler)(rule)


class _Part(CPUDispatcher):
    """One piece of machine code for all integers."""

    def get_call_template(self, args: Any, kws: Any) -> Any:  # noqa: ANN401 - numba's
        return super().get_call_template(tuple(map(_widened, args)), kws)


def _widened(kind: Any) -> Any:  # noqa: ANN401 - numba's
    plain: Any = types.unliteral(kind)
    return types.int64 if plain in types.signed_domain else plain


# --------------------------------------------------------------------------- libraries


def _link(library: JITCodeLibrary) -> None:
    """Take in what a library calls."""
    library._raise_if_finalized()
    for called in dict.fromkeys(library._linking_libraries):
        library._reload_init.update(called._reload_init)
        library._final_module.link_in(called._get_module_for_linking(), preserve=True)


class _Nowhere:
    """Where the environment of a part goes, which has no place of its own in memory."""

    def set_env(self, env_name: str, env: object) -> None:
        """Leave it."""


class _PartLibrary(JITCodeLibrary):
    """Never called by itself: neither optimised nor made machine code of."""

    @property
    def codegen(self) -> _Nowhere:
        return _Nowhere()

    def finalize(self) -> None:
        _link(self)
        self._finalized = True


class _WholeLibrary(JITCodeLibrary):
    """All parts, which nobody else calls."""

    def finalize(self) -> None:
        _link(self)
        for function in self._final_module.functions:
            if function.linkage is Linkage.linkonce_odr and not function.is_declaration:
                function.linkage = Linkage.internal
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()


# --------------------------------------------------------------------------- passes


class _InLibrary(LoweringPass):
    """Gives a rule the library that it is laid down in."""

    library: type[JITCodeLibrary]

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:  # noqa: ANN401 - numba's
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return True


@register_pass(mutates_CFG=False, analysis_only=True)
class _InPart(_InLibrary):
    _name = "in_part"
    library = _PartLibrary


@register_pass(mutates_CFG=False, analysis_only=True)
class _InWhole(_InLibrary):
    _name = "in_whole"
    library = _WholeLibrary


class _PartCompiler(CompilerBase):
    def define_pipelines(self) -> list[PassManager]:
        return [_passes(self.state, _InPart)]


class _WholeCompiler(CompilerBase):
    def define_pipelines(self) -> list[PassManager]:
        return [_passes(self.state, _InWhole)]


def _passes(state: Any, library: type[_InLibrary]) -> PassManager:  # noqa: ANN401 - numba's
    passes: PassManager = DefaultPassBuilder.define_nopython_pipeline(state)
    passes.add_pass_after(library, IRLegalization)
    passes.finalize()
    return passes
