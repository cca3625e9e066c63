"""The build of the compiled rooms (``fastserver/_speedups``); everything else stands in ``pyproject.toml``.

Two environment variables choose, unset means optional:

* ``FASTSERVER_REQUIRE_EXT=1``: a module that cannot be built fails the build.
* ``FASTSERVER_NO_EXT=1``: nothing is compiled; the same texts run as plain Python.

Optional means that a failure is told and the build goes on without extensions: all modules are compiled or none is.
Cython's warnings are always errors, the C compiler's where ``CFLAGS`` says so (``make test`` does; an installation does
not, since compilers differ).  Generated C goes to ``build/cython``; beside the sources stand only, for
an in-place build, the extension modules.
"""

import os
import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

PACKAGE = "fastserver._speedups"
ROOM = Path("fastserver", "_speedups")
#: The modules that are written in Cython proper; their ``.py`` are twins and are not compiled.
POINTER_MODULES = (
    "kernels",
    "heads",
    "rendering",
    "fieldlist",
    "hpack.strings",
    "websocket.kernels",
    "datagrams",
    "logline",
)


def is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


NO_EXT = is_set("FASTSERVER_NO_EXT")
REQUIRE_EXT = is_set("FASTSERVER_REQUIRE_EXT")
if NO_EXT and REQUIRE_EXT:
    raise SystemExit("setup.py: FASTSERVER_NO_EXT and FASTSERVER_REQUIRE_EXT contradict each other")


def list_extensions() -> list[Extension]:
    """One extension for each hot module, in layer order."""
    modules = runpy.run_path(str(ROOM / "__init__.py"))["MODULES"]
    flags = [] if sys.platform == "win32" else ["-O3", "-DNDEBUG"]
    if flags and "-g" not in os.environ.get("CFLAGS", "").split():
        flags.append("-g0")  # CPython's own flags say -g, which is three quarters of an extension's size.
    return [
        Extension(
            f"{PACKAGE}.{name}",
            [f"{path}{'.pyx' if name in POINTER_MODULES else '.py'}"],
            depends=[f"{path}.pxd"],
            extra_compile_args=flags,
        )
        for name in modules
        for path in (ROOM.joinpath(*name.split(".")),)
    ]


class BuildRooms(build_ext):
    """``build_ext`` that runs Cython first and leaves no mixture of compiled and plain modules behind."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count()

    def run(self) -> None:
        inplace = self.inplace
        if NO_EXT:
            self._remove_built(list_extensions())
            return
        try:
            super().run()
        except Exception as error:
            # Cython, distutils and the compiler have no base class in common below Exception.
            self.inplace = inplace
            self._remove_built(self.extensions)
            if REQUIRE_EXT:
                raise CompileError(f"the extensions are required and cannot be built: {error}") from error
            self.extensions = []
            print(f"warning: fastserver is built without extensions: {error}", file=sys.stderr)

    def build_extensions(self) -> None:
        self._run_cython()
        super().build_extensions()

    def _run_cython(self) -> None:
        """Turn the ``.py`` and ``.pyx`` sources of ``self.extensions`` into C, in place in the list."""
        from Cython.Build import cythonize
        from Cython.Compiler import Options

        Options.warning_errors = True
        for path in (path for extension in self.extensions for path in (*extension.sources, *extension.depends)):
            if not Path(path).exists():
                raise FileNotFoundError(f"{path} is missing")
        generated = cythonize(
            [Extension(extension.name, extension.sources) for extension in self.extensions],
            build_dir=str(Path("build", "cython")),
            compiler_directives={"language_level": "3", "embedsignature": False},
            force=bool(self.force),
            quiet=self.verbose == 0,
        )
        sources = {extension.name: extension.sources for extension in generated}
        for extension in self.extensions:
            extension.depends = [*extension.depends, *extension.sources]
            extension.sources = sources[extension.name]

    def _remove_built(self, extensions: list[Extension]) -> None:
        """Remove what this interpreter's earlier builds left, so that a plain build runs the plain texts."""
        for extension in extensions:
            Path(self.build_lib, self.get_ext_filename(extension.name)).unlink(missing_ok=True)
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)


setup(ext_modules=[] if NO_EXT else list_extensions(), cmdclass={"build_ext": BuildRooms})
