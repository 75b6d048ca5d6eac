"""`carbonnode completion`: a shell's completion script."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Example:
      eval "$(carbonnode completion bash)"
    """
    from click.shell_completion import get_completion_class

    from carbonnode.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(cli, {}, "carbonnode", "_CARBONNODE_COMPLETE").source())
