"""The forms of secrets that are masked, from the list that masks them."""

from itertools import groupby

from codex_langfuse.masking import FORMS, KEYS, NAMES
from page_tables.markdown import table

_HEAD = {"en": ["Kind", "Masked where the ellipsis is"], "zh": ["种类", "脱敏的是省略号处"]}
_GROUPS = {
    "langfuse": {"en": "Langfuse's keys, also in base64", "zh": "Langfuse 的密钥，包括 base64 形式"},
    "models": {"en": "Keys of model providers", "zh": "模型提供方的密钥"},
    "code": {"en": "Code hosts and package registries", "zh": "代码托管和包仓库"},
    "cloud": {"en": "Cloud accounts and vaults", "zh": "云账号和密钥管理服务"},
    "services": {"en": "Other services, webhooks", "zh": "其他服务和 webhook"},
    "tokens": {"en": "JSON Web Tokens", "zh": "JSON Web Token"},
    "private": {"en": "Private keys", "zh": "私钥"},
    "named": {"en": "Values whose name says so", "zh": "名称表明是机密的值"},
    "headers": {"en": "Headers and cookies", "zh": "请求头和 cookie"},
    "commands": {"en": "Commands and `.netrc`", "zh": "命令和 `.netrc`"},
    "addresses": {"en": "Addresses", "zh": "地址"},
}


def masked_forms(language: str) -> str:
    """Return every form by its kind, as it looks."""
    return table(
        _HEAD[language],
        (
            [
                _GROUPS[group][language],
                ", ".join(f"`{' '.join(looks.split())}`" for form in forms for looks in form.looks),
            ]
            for group, forms in groupby(FORMS, lambda form: form.group)
        ),
    )


def masked_names(language: str) -> str:
    """Return what the names of secrets contain."""
    between = {"en": ", ", "zh": "、"}[language]
    return between.join(f"`{name}`" for name in (*NAMES, *(f"{word} key" for word in KEYS))) + "\n"


TABLES = {"masked-forms": masked_forms, "masked-names": masked_names}
