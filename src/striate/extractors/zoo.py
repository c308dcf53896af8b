"""Networks that no library ships: of video, motion, edges and sound, and brain-like ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from striate.nets.inputs import Input
from striate.nets.inputs.flows import LUCAS_KANADE, flow_method
from striate.nets.libraries.zoo import with_flow
from striate.nets.loading import Network
from striate.nets.nodes import Nodes


@dataclass(frozen=True)
class Zoo(Nodes):
    """A network of striate's own; fields as in `striate.nets.nodes.Nodes`.

    `model` is ``bdcn``, ``cornet_s``, ``cornet_z``, ``i3d_flow``, ``i3d_rgb``, ``nasnet_mobile``,
    ``resnet3d50`` (Multi-Moments), ``vggish``, ``vonealexnet`` or ``voneresnet50``. `weights` is
    the file that its authors published, or ``none``.

    Parameters
    ----------
    seconds
        Of sound, for ``vggish``: cut, or continued in silence, to so many.
    flow, flow_options
        Method of optical flow of ``i3d_flow``, and its options: see `striate.extractors.flow.Flow`.

    """

    seconds: float | int | None = None
    flow: str = LUCAS_KANADE
    flow_options: dict[str, Any] = field(default_factory=dict)
    family: ClassVar[str] = "zoo"

    def network(self) -> Network:
        """Which network, weights and preprocessing."""
        return replace(super().network(), seconds=self.seconds)

    def shows(self) -> Input:
        """What the network is shown of a stimulus."""
        shows = super().shows()
        if self.flow == LUCAS_KANADE and not self.flow_options:
            return shows
        return with_flow(shows, flow_method(self.flow, self.flow_options))
