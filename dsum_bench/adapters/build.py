"""Making the adapter of a model, its options checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.registry.tables import Where, read_table
from dsum_bench.registry.toml_lines import join_key

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import ModelSpec


def build(plugins: Plugins, context: AdapterContext) -> Adapter:
    """The adapter that a model names.

    Raises:
        UserError: the adapter does not exist, or an option is unknown or of the wrong type.
        ModelError: the tokenizer is not one for this adapter.
    """
    model = context.model
    adapter = plugins.get("adapter", model.adapter, f"{model.origin}: model '{model.name}'")
    return adapter(context, read_options(adapter, model))


def read_options(adapter: type[Adapter], model: ModelSpec) -> Any:
    """The ``options`` of a registry entry as its adapter's ``Options``.

    Raises:
        UserError: an unknown key or a wrong value; names the file, the table and the key.
    """
    return read_table(
        adapter.Options, model.options, Where(model.origin, table=join_key("models", model.name, "options"))
    )
