"""UHMAN (Liu et al., 2020): Tables 1 to 3 and Figures 3 and 4.

table1    UHMAN against BL, UA, 3WM, and our simple peers
table2    the same where the most used hashtags were made about as rare as the others
table3    UHMAN without its attention over regions (a), over frames (b)
fig3      how often each hashtag is used, before and after that
fig4      UHMAN by its width K and by its predictive factor d
"""

from __future__ import annotations

from reeltag.experiments.papers.procedure import SIMPLE_PEERS, PaperTable, Procedure, Sweep

_PAPER = "Liu et al., User Conditional Hashtag Recommendation for Micro-Videos, 2020"
_WHY_NOT = (
    "The paper's numbers are not comparable with ours: they come from other posts (10,291 of "
    "Musical.ly, never published), users and hashtags (669, all of them ranked), and how hard a "
    "full ranking is depends on how many hashtags there are and how unevenly they are used."
)
_F1 = (
    "The paper's F1 is that of its mean P and its mean R, ours the mean of each post's F1, which "
    "is smaller as a rule. The paper has no validation part: 80 % train, 20 % test."
)
_COLUMNS = ("precision@10", "precision@50", "recall@10", "recall@50", "f1@10", "f1@50")
_HEADINGS = ("P@10", "P@50", "R@10", "R@50", "F1@10", "F1@50")
_ROWS = {"bilinear": "BL", "user-additive": "UA", "three-way": "3WM", "uhman": "UHMAN"}
MODELS = (*_ROWS, *SIMPLE_PEERS)
SIZES = (8, 16, 32, 64, 128)
"""Figure 4's values of K and of d."""
BALANCE_TOP = 150
"""§3.1: so many of the most used hashtags were thinned out."""

TABLE_1 = PaperTable(
    source=f"{_PAPER}, Table 1",
    why_not=_WHY_NOT,
    columns=_COLUMNS,
    headings=_HEADINGS,
    numbers={
        "Musical.ly, natural": {
            "BL": (0.0650, 0.0227, 0.1658, 0.4255, 0.0934, 0.0431),
            "UA": (0.0733, 0.0301, 0.1823, 0.4389, 0.1046, 0.0563),
            "3WM": (0.0796, 0.0312, 0.1946, 0.4468, 0.1130, 0.0583),
            "UHMAN": (0.0849, 0.0409, 0.2110, 0.4517, 0.1210, 0.0750),
        }
    },
    rows=_ROWS,
    note=_F1,
)

TABLE_2 = PaperTable(
    source=f"{_PAPER}, Table 2",
    why_not=_WHY_NOT,
    columns=_COLUMNS,
    headings=_HEADINGS,
    numbers={
        "Musical.ly, balanced": {
            "BL": (0.0371, 0.0206, 0.1549, 0.4333, 0.0599, 0.0394),
            "UA": (0.0389, 0.0221, 0.1607, 0.4604, 0.0626, 0.0421),
            "3WM": (0.0451, 0.0237, 0.1898, 0.4917, 0.0729, 0.0453),
            "UHMAN": (0.0507, 0.0250, 0.2088, 0.5186, 0.0816, 0.0477),
        }
    },
    rows=_ROWS,
    note=_F1,
)

TABLE_3 = PaperTable(
    source=f"{_PAPER}, Table 3",
    why_not=_WHY_NOT,
    columns=("precision@10", "recall@10", "f1@10"),
    headings=("P@10", "R@10", "F1@10"),
    numbers={
        "Musical.ly, natural": {
            "UHMAN(a)": (0.0736, 0.1973, 0.1072),
            "UHMAN(b)": (0.0822, 0.2031, 0.1170),
            "UHMAN": (0.0849, 0.2110, 0.1210),
        }
    },
    rows={"uhman-a": "UHMAN(a)", "uhman-b": "UHMAN(b)", "uhman": "UHMAN"},
    note=_F1,
)

PROCEDURES = (
    Procedure(
        "uhman:table1",
        "UHMAN, Table 1: against the baselines",
        models=MODELS,
        tops=(10, 50),
        paper=TABLE_1,
        one_modality=True,
    ),
    Procedure(
        "uhman:table2",
        "UHMAN, Table 2: against the baselines, hashtags balanced",
        models=MODELS,
        tops=(10, 50),
        paper=TABLE_2,
        balance_top=BALANCE_TOP,
        one_modality=True,
    ),
    Procedure(
        "uhman:table3",
        "UHMAN, Table 3: without one of its attentions",
        models=("uhman-a", "uhman-b", "uhman"),
        tops=(10,),
        paper=TABLE_3,
    ),
    Procedure(
        "uhman:fig3",
        "UHMAN, Figure 3: how often each hashtag is used",
        kind="distribution",
        balance_top=BALANCE_TOP,
        lead=(
            "The paper draws 669 hashtags of Musical.ly, the natural uses in red and the balanced "
            "ones in blue; it prints no numbers.",
        ),
    ),
    Procedure(
        "uhman:fig4",
        "UHMAN, Figure 4: the width K and the predictive factor d",
        kind="sweep",
        models=("uhman",),
        tops=(10,),
        sweeps=(Sweep("dim", "K", SIZES, "powers"), Sweep("predictive", "d", SIZES, "powers")),
        lead=(
            "The paper prints no numbers for this figure. In its words the quality rises with K "
            "and then falls, 32 being chosen, and is stable for d from 16 to 128.",
        ),
    ),
)
