"""Every trained model by its name: those of the registry that can join the house model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reeltag.models.co_attention import CoAttention
from reeltag.models.contagnet import ConTagNet
from reeltag.models.contract import Model
from reeltag.models.csmn import Csmn
from reeltag.models.eastern import Eastern
from reeltag.models.gcn_phr import GcnPhr
from reeltag.models.logo import Logo
from reeltag.models.profile_models import Bilinear, ThreeWay, UserAdditive
from reeltag.models.rsdae import Rsdae
from reeltag.models.trumann import Trumann
from reeltag.models.uhman import Uhman
from reeltag.models.ushm import Ushm
from reeltag.models.utm import Utm


@dataclass(frozen=True)
class Entry:
    """A registered name: the class behind it and the settings it presets."""

    model: type[Model]
    source: str
    """Paper or rule it comes from."""
    preset: Mapping[str, Any] = field(default_factory=dict)


TRAINED: dict[str, Entry] = {
    "gcn-phr": Entry(GcnPhr, "Wei et al., ACM MM 2019"),
    "gcn-phr-i": Entry(GcnPhr, "Wei et al., Variant I: no attention", {"post_attention": False}),
    "gcn-phr-ii": Entry(
        GcnPhr, "Wei et al., Variant II: users do not guide", {"user_guided": False}
    ),
    "gcn-phr-iii": Entry(
        GcnPhr, "Wei et al., Variant III: hashtags do not guide", {"hashtag_guided": False}
    ),
    "uhman": Entry(Uhman, "Liu et al., 2020"),
    "uhman-a": Entry(
        Uhman, "Liu et al., ablation a: mean over regions", {"region_attention": False}
    ),
    "uhman-b": Entry(Uhman, "Liu et al., ablation b: mean over frames", {"frame_attention": False}),
    "logo": Entry(Logo, "Cao et al., KBS 2020"),
    "logo-a": Entry(Logo, "Cao et al., LOGO-A: mean over steps", {"pooling": "mean"}),
    "logo-m": Entry(Logo, "Cao et al., LOGO-M: maximum over steps", {"pooling": "max"}),
    "logo-l": Entry(Logo, "Cao et al., LOGO-L: last step", {"pooling": "last"}),
    "bilinear": Entry(Bilinear, "Lee et al., KDD 2018, as in Liu et al.: BL"),
    "user-additive": Entry(UserAdditive, "Denton et al., KDD 2015, as in Liu et al.: UA"),
    "three-way": Entry(ThreeWay, "Denton et al., KDD 2015, as in Liu et al.: 3WM"),
    "utm": Entry(Utm, "Denton et al., KDD 2015"),
    "ushm": Entry(Ushm, "Veit et al., CVPR 2018"),
    "contagnet": Entry(ConTagNet, "Rawat and Kankanhalli, ACM MM 2016"),
    "csmn": Entry(Csmn, "Park et al., CVPR 2017"),
    "rsdae": Entry(Rsdae, "Wang et al., AAAI 2015, as in Cao et al.: RSDAE"),
    "co-attention": Entry(CoAttention, "Zhang et al., IJCAI 2017, as in Cao et al.: Co-Attention"),
    "trumann": Entry(Trumann, "Zhang et al., ACM MM 2016, as in Cao et al.: TRUMANN"),
    "eastern": Entry(Eastern, "Liu et al., ACM MM 2017, as in Cao et al.: EASTERN"),
}
