"""GCN-PHR (Wei et al., ACM MM 2019): Tables 3 and 4 and Figure 3.

table3    GCN-PHR against UTM, ConTagNet, CSMN, USHM, and our simple peers
table4    GCN-PHR against its variants I, II, III
fig3      a few test posts with what each model recommends, as a picture
"""

from __future__ import annotations

from reeltag.experiments.papers.procedure import SIMPLE_PEERS, PaperTable, Procedure

_WHY_NOT = (
    "The paper's numbers are not comparable with ours: they come from other posts, users and "
    "hashtags, and they rank a post's hashtags among 1,000 sampled ones, whose difficulty depends "
    "on the size and the popularity curve of the catalogue they are drawn from."
)
_COLUMNS = ("precision@5", "precision@10", "recall@5", "recall@10", "accuracy@5", "accuracy@10")
_HEADINGS = ("P@5", "P@10", "R@5", "R@10", "A@5", "A@10")
_PAPER = "Wei et al., Personalized Hashtag Recommendation for Micro-videos, ACM MM 2019"

TABLE_3 = PaperTable(
    source=f"{_PAPER}, Table 3",
    why_not=_WHY_NOT,
    columns=_COLUMNS,
    headings=_HEADINGS,
    numbers={
        "YFCC100M": {
            "UTM": (0.2469, 0.1780, 0.3053, 0.4108, 0.6860, 0.7724),
            "ConTagNet": (0.3595, 0.2441, 0.4358, 0.5426, 0.7856, 0.8395),
            "CSMN": (0.3027, 0.1897, 0.4004, 0.4428, 0.6403, 0.6634),
            "USHM": (0.3891, 0.2711, 0.4865, 0.6158, 0.8398, 0.8877),
            "GCN-PHR": (0.4004, 0.3053, 0.5125, 0.6667, 0.8403, 0.9021),
        },
        "Instagram": {
            "UTM": (0.5193, 0.4503, 0.2305, 0.3659, 0.7823, 0.8136),
            "ConTagNet": (0.4391, 0.3863, 0.1982, 0.3136, 0.7444, 0.8178),
            "CSMN": (0.5230, 0.4691, 0.2614, 0.3826, 0.8246, 0.8770),
            "USHM": (0.6613, 0.5821, 0.3402, 0.5134, 0.9107, 0.9365),
            "GCN-PHR": (0.6847, 0.6286, 0.4075, 0.5667, 0.9134, 0.9332),
        },
    },
    rows={
        "utm": "UTM",
        "contagnet": "ConTagNet",
        "csmn": "CSMN",
        "ushm": "USHM",
        "gcn-phr": "GCN-PHR",
    },
)

TABLE_4 = PaperTable(
    source=f"{_PAPER}, Table 4",
    why_not=_WHY_NOT,
    columns=_COLUMNS,
    headings=_HEADINGS,
    numbers={
        "YFCC100M": {
            "Variant-I": (0.3786, 0.2745, 0.4923, 0.6266, 0.8335, 0.8901),
            "Variant-II": (0.3829, 0.2837, 0.5031, 0.6401, 0.8307, 0.8834),
            "Variant-III": (0.3801, 0.2754, 0.4966, 0.6312, 0.8283, 0.8831),
            "GCN-PHR": (0.4004, 0.3053, 0.5125, 0.6667, 0.8403, 0.9021),
        },
        "Instagram": {
            "Variant-I": (0.6703, 0.5833, 0.3473, 0.5232, 0.9068, 0.9245),
            "Variant-II": (0.6765, 0.6053, 0.3735, 0.5398, 0.9089, 0.9306),
            "Variant-III": (0.6725, 0.5974, 0.3665, 0.5274, 0.8953, 0.9268),
            "GCN-PHR": (0.6847, 0.6286, 0.4075, 0.5667, 0.9134, 0.9332),
        },
    },
    rows={
        "gcn-phr-i": "Variant-I",
        "gcn-phr-ii": "Variant-II",
        "gcn-phr-iii": "Variant-III",
        "gcn-phr": "GCN-PHR",
    },
)

PROCEDURES = (
    Procedure(
        "gcn-phr:table3",
        "GCN-PHR, Table 3: against the baselines",
        models=("utm", "contagnet", "csmn", "ushm", "gcn-phr", *SIMPLE_PEERS),
        protocol="sampled",
        paper=TABLE_3,
    ),
    Procedure(
        "gcn-phr:table4",
        "GCN-PHR, Table 4: against its variants",
        models=("gcn-phr-i", "gcn-phr-ii", "gcn-phr-iii", "gcn-phr"),
        protocol="sampled",
        paper=TABLE_4,
    ),
    Procedure(
        "gcn-phr:fig3",
        "GCN-PHR, Figure 3: what each model recommends",
        kind="posts",
        models=("utm", "contagnet", "csmn", "ushm", "gcn-phr"),
    ),
)
