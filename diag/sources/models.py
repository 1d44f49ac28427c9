"""``--model``: build the network that a file's weights belong to, fill it, and embed at one of its layers.

    package.module:factory   your function or class; called without arguments, or with --model-args
    torchvision:NAME         one of torchvision's models, such as resnet18
    timm:NAME                one of timm's
    hf:FOLDER                the architecture that a folder's config.json names, by transformers

None of them loads weights of its own, and nothing is fetched.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diag.sources.foreign_code import called, imported
from diag.sources.model_names import TRANSFORMERS
from diag.sources.opening import Opening
from diag.sources.safe.names import line, listed, shown
from diag.sources.state_dict import COUNTED, Weights, fill, weights_in
from diag.subject import Subject, SubjectError

CLASSES = ("num_classes", "num_labels")
"""Arguments by which libraries name the size of the last layer."""


@dataclass(frozen=True)
class Recipe:
    """The way to a network: its name as it was given, and a function of keyword arguments that builds it."""

    name: str
    build: Callable[..., Any]
    classes: str | None = None
    """The argument that says how many classes the last layer has; None where the recipe knows."""


def modelled(saved: Any, opening: Opening) -> Subject:
    """The subject of what was saved, as weights of the network that ``--model`` names.

    Raises SubjectError, also for faults in the user's own factory.
    """
    from diag.sources.torch_layers import layered_subject

    supplied, path = opening.supplied, opening.path
    assert supplied.model is not None
    if isinstance(saved, nn.Module):  # only where pickles are trusted
        saved = saved.state_dict()
    weights = weights_in(saved, path, supplied.key)
    module, notes = network(supplied.model, supplied.model_args, weights, path)
    tokens = supplied.model.startswith(TRANSFORMERS)
    if supplied.targets is not None:
        from diag.sources.torch_targets import targeted_subject

        return targeted_subject(module, opening, notes, tokens=tokens)
    return layered_subject(module, opening, notes, tokens=tokens)


def network(
    name: str, arguments: str | None, weights: Weights, path: str
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network of a name with these weights, and notes on how they were read; raises SubjectError."""
    recipe = _recipe(name)
    positional, named = _arguments(arguments)
    module = _built(recipe, positional, named)
    if recipe.classes is not None and not positional and not set(CLASSES) & set(named):
        rows = _last_rows(module, weights)
        if rows is not None:  # the library's own number of classes is not the file's
            module = _built(recipe, (), {**named, recipe.classes: rows})
    if name.startswith(TRANSFORMERS) and (read := _by_its_library(module, weights)) is not None:
        module = read
        renamed = "has names of another version of transformers, which reads them by its own rules"
        weights = replace(weights, tensors=module.state_dict(), notes=(*weights.notes, renamed))
    remedy = "" if arguments is None else " with these --model-args"
    hint = f"; --model-args '{{\"{recipe.classes}\": 10}}' changes its size" if recipe.classes else remedy
    return module, fill(module, weights, path, hint)


def _recipe(name: str) -> Recipe:
    kind, colon, rest = name.partition(":")
    if not colon or not rest:
        expected = "package.module:factory, torchvision:NAME, timm:NAME or hf:FOLDER"
        raise SubjectError(f"--model {name}", "no colon between two names", expected)
    match kind:
        case "torchvision":
            models = _library("torchvision.models", name)
            _check_known(rest, name, models.list_models(), "torchvision")
            return Recipe(name, lambda **given: models.get_model(rest, weights=None, **given), CLASSES[0])
        case "timm":
            timm = _library("timm", name)
            _check_known(rest.partition(".")[0], name, timm.list_models(), "timm")
            return Recipe(
                name, lambda **given: timm.create_model(rest, pretrained=False, **given), CLASSES[0]
            )
        case "hf":
            return Recipe(name, lambda **given: _transformer(rest, name, given))
    return Recipe(name, imported(name, "--model"))


def _library(module: str, name: str) -> Any:
    import importlib

    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SubjectError(
            f"--model {name}", f"no {package} that imports ({line(error)})", f"pip install {package}"
        ) from None
    except Exception as error:  # a build for another torch: its operators are not there
        import torch

        found = f"a {package} that fails when it is imported ({line(error)})"
        expected = f"one that was built for torch {torch.__version__}: install both from the same index"
        raise SubjectError(f"--model {name}", found, expected) from None


def _check_known(wanted: str, name: str, known: list[str], library: str) -> None:
    """Refuse a name that a library has no model of, with those that are nearest to it."""
    if not known or wanted in known:
        return
    near = difflib.get_close_matches(wanted, known, 3) or known
    raise SubjectError(f"--model {name}", f"no model {shown(wanted)} in {library}", f"such as {listed(near)}")


def _transformer(folder: str, name: str, given: Mapping[str, Any]) -> nn.Module:
    """The architecture that a folder's configuration names, without weights; only the library's own code."""
    if not Path(folder, "config.json").is_file():
        raise SubjectError(f"--model {name}", "no config.json in that folder", "a folder of transformers")
    transformers = _library("transformers", name)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for option, value in given.items():
        setattr(config, option, value)
    names = getattr(config, "architectures", None) or []
    architecture = getattr(transformers, names[0], None) if names else None
    if architecture is not None:
        made: nn.Module = architecture(config)
        return made
    plain: nn.Module = transformers.AutoModel.from_config(config, trust_remote_code=False)
    return plain


def _by_its_library(module: nn.Module, weights: Weights) -> nn.Module | None:
    """A network of transformers filled by that library, where the file's names are not the module's.

    It saves networks under the names of its older versions, and knows how to read these. None where the names
    fit as they are, or where it does not find all weights either: what is then missing is told by name.
    """
    own = [name for name in module.state_dict() if not name.endswith(COUNTED)]
    if all(name in weights.tensors for name in own):
        return None
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        read, told = type(module).from_pretrained(  # type: ignore[attr-defined]
            None, config=module.config, state_dict=dict(weights.tensors), output_loading_info=True
        )
    except Exception:  # the library raises whatever weights lead it to
        return None
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    whole = not any(told.get(kind) for kind in ("missing_keys", "mismatched_keys", "error_msgs"))
    made: nn.Module = read
    return made if whole else None


def _arguments(given: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments in order and by name, of JSON; raises SubjectError."""
    if given is None:
        return (), {}
    where, expected = f"--model-args {given}", "a JSON object of arguments by name, or a list of them"
    try:
        tree = json.loads(given)
    except ValueError as error:
        raise SubjectError(where, f"no JSON ({error})", expected) from None
    if isinstance(tree, list):
        return tuple(tree), {}
    if not isinstance(tree, dict):
        raise SubjectError(where, f"a {type(tree).__name__}", expected)
    return (), tree


def _built(recipe: Recipe, positional: tuple[Any, ...], named: Mapping[str, Any]) -> nn.Module:
    def build() -> Any:
        return recipe.build(*positional, **named)

    made = called(build, f"--model {recipe.name}", "its factory")
    if not isinstance(made, nn.Module):
        raise SubjectError(f"--model {recipe.name}", f"a {type(made).__name__}", "a torch.nn.Module")
    return made


def _last_rows(module: nn.Module, weights: Weights) -> int | None:
    """The classes that the file's last linear layer has, where they are other than the module's."""
    linear = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Linear)]
    if not linear:
        return None
    name, last = linear[-1]
    ends: list[Tensor] = [t for n, t in weights.tensors.items() if f".{n}".endswith(f".{name}.weight")]
    if len(ends) != 1 or ends[0].ndim != 2 or ends[0].shape[0] == last.out_features:
        return None
    return int(ends[0].shape[0])
