"""Checkpoints in the words of a network's authors, with another number for every tensor."""

import torch

COUNTER = "num_batches_tracked"


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in NORM}


NORM = ("weight", "bias", "running_mean", "running_var")


def numbered(shapes):
    """Tensors of these shapes, the k-th of them k everywhere; small on disk."""
    return {
        name: torch.full((1,), float(k)).expand(shape)
        for k, (name, shape) in enumerate(shapes.items())
    }


def assert_each_once(module, state):
    """Every tensor of the module is filled from one of the file's, and every one is used."""
    own = {k: v for k, v in module.state_dict().items() if not k.endswith(COUNTER)}
    assert set(own) == set(state)
    for name, tensor in own.items():
        assert torch.equal(tensor, state[name].expand(tensor.shape)), name
    firsts = [float(t.flatten()[0]) for t in own.values()]
    assert sorted(firsts) == list(range(len(own)))


def count(module):
    return sum(p.numel() for p in module.parameters())


def empty(build):
    """A network of full size whose memory is not filled, which is quick."""
    with torch.device("meta"):
        module = build()
    return module.to_empty(device="cpu").eval()


def seeded(build):
    """A network in evaluation mode, with statistics that normalisation cannot ignore."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build()
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(part.weight, 0.5, 1.5)
                torch.nn.init.normal_(part.bias, 0, 0.1)
    return module.eval().requires_grad_(False)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_same_alone_and_together(module, batch):
    """Every item's output is the same whatever it is computed with, and the same again."""
    together = module(batch)
    assert together.std(dim=0).max() > 0, "the output does not depend on the input"
    alone = torch.cat([module(item[None]) for item in batch])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5 * float(together.abs().max()))
    assert torch.equal(module(batch), together)
