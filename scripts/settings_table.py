"""mkdocs hook: puts the table of all settings, made from `lingting.settings`, in place of `<!-- settings -->`."""

from __future__ import annotations

from pathlib import PurePosixPath
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from lingting.settings import PREFIX, Settings

MARK = "<!-- settings -->"

CHINESE = {
    "host": "监听的地址。",
    "port": "监听的端口；0 表示任取一个空闲端口。",
    "tls_certificate": "TLS 证书链的 PEM 文件。",
    "tls_key": "TLS 私钥的 PEM 文件。",
    "funasr_port": "给 FunASR 客户端的第二个端口（它们惯用 10095）；0 表示不开。",
    "funasr_tls": "服务器没有证书时，funasr_port 也用 TLS，证书自己生成：FunASR 的客户端默认用 TLS，不校验证书。",
    "wyoming_port": "Wyoming 协议的端口（惯用 10300）；0 表示不开。",
    "wyoming_host": "Wyoming 监听的地址。",
    "wyoming_zeroconf": "在局域网上宣告 Wyoming，Home Assistant 便能自己发现；需要 zeroconf 这个可选依赖。",
    "wyoming_ends_turns": "话说完就答复 Wyoming 请求，不等它结束。",
    "keyless_key": "为发不出密钥的 FunASR 与 Wyoming 客户端所用的 API 密钥；不设则拒绝它们。",
    "keyless_networks": "哪些网段的 FunASR 与 Wyoming 客户端可以用 keyless_key，用逗号分隔。",
    "data_dir": "存放数据库、模型和示例录音的目录。",
    "database_url": "数据库的 SQLAlchemy URL；不设则用数据目录下的 SQLite。",
    "limits_url": "在哪里统计速率：memory:// 或 redis://host:port/db；集群中默认为 cluster_redis_url。",
    "trusted_proxies": "相信哪些反向代理的 X-Forwarded-For：地址和网段，用逗号分隔。",
    "model": "负责识别的模型名称。",
    "live_model": "说话时逐步出现的文字所用的模型，若与 model 不同。",
    "final_model": "录音和流式定稿所用的模型，若与 model 不同。",
    "served_models": "调用方还可以指定的其他模型，用逗号分隔；all 表示所有已安装的。租户可以把其中之一设为默认。",
    "interface_models": "某些接口的默认模型，若与 model 不同：例如 flash=sense-voice,deepgram=x-asr。",
    "segmentation_model": "判断何时换人说话的模型；与 speaker_model 一起用，文件就能区分说话人。",
    "speaker_model": "辨认声音的模型；见 segmentation_model。",
    "punctuation_model": "给不写标点的 sherpa-onnx 模型的定稿加标点的模型，代替按规则加。",
    "load_models": "何时载入 served_models：有人第一次用到时（use），或启动时（start）。",
    "unload_seconds": "served_models 中的模型这么久没人用就卸载（秒）；0 表示一直留着。",
    "engine_processes": "哪些引擎各占一个进程，崩溃只耽误一秒：auto 为 sherpa-onnx；all 全部；none 不用。",
    "compute_threads": "引擎的线程数；0 表示每个物理核心一个。",
    "language": "所有语音的语言，或逐句判断（auto）。",
    "script": "文字的中文字形：简体、繁体或照原样。",
    "convert_numbers": "把说出的数字、日期和金额写成阿拉伯数字。",
    "phonetics": "按读音对中文再校一遍；off 则给出引擎自己写的字。",
    "language_model": "校正所用的 KenLM 文件，不设则用自带的；compact 为小模型。",
    "endpoint_silence_ms": "静音多久后，流式的一句话即定稿（毫秒）；一句话超过 8 秒后取其 7/12。",
    "max_utterance_seconds": "流式一句话的最长时间；说个不停时在最安静处切开。",
    "download_url": "下载模型时最先尝试的自有网站目录：<url>/<模型>/<文件>；可以是 http。",
    "download_prefer": "下载模型时优先的主机，用逗号分隔，例如 modelscope.cn。",
    "download_proxy": "下载模型所用的代理；不设则用环境中的（HTTPS_PROXY）。",
    "hugging_face_url": "代替 Hugging Face 的地址。",
    "modelscope_url": "代替 ModelScope 的地址。",
    "file_max_seconds": "file_recognize 的最长音频（秒）。",
    "flash_max_seconds": "Flash 与 OpenAI 转写的最长音频（秒）。",
    "flash_max_bytes": "Flash 与 OpenAI 转写的最大文件（字节）。",
    "audio_memory_bytes": "同时持有的已解码音频最多多少字节；超出的先拒绝，等前面的处理完。两小时占 230 MB。",
    "stream_packet_max_bytes": "一个流式数据包的最大请求体（JSON 字节数）。",
    "stream_max_seconds": "一条流的最长音频（秒）。",
    "stream_idle_seconds": "一条流这么久没有数据包就结束。",
    "realtime_max_seconds": "OpenAI Realtime 接口一个会话的最长时间（秒）。",
    "stream_window": "sequence_id 最多可比期待的下一个号超前多少。",
    "streams_per_tenant": "一个租户同时进行的流数。",
    "file_requests_per_second": "一个租户每秒的 file_recognize 请求数。",
    "flash_requests_per_second": "一个租户每秒的 Flash 请求数。",
    "transcription_requests_per_second": "一个租户每秒的 OpenAI 转写请求数。",
    "requests_per_tenant": "一个租户同时处理中的请求数。",
    "audio_seconds_per_day": "一个租户每天（UTC）可发送的音频秒数；0 为不限。",
    "audio_seconds_per_month": "一个租户每月（UTC）可发送的音频秒数；0 为不限。",
    "login_failures_per_minute": "同一地址、同一应用一分钟内登录失败多少次后，让仍然失败的登录稍候。",
    "journal": "实时流的数据包在文字定稿前保存在哪里：memory；或 disk、redis，崩溃或重启后流从那里继续。",
    "journal_key": "加密磁盘和 Redis 中日志的密钥：一长串随机文字，须保密。",
    "journal_url": "日志所用的 Redis，redis://host:port/db。",
    "max_lag_seconds": "再加一条流，实时文本平均就会比声音晚这么久（秒）时，拒绝新的流；inf 表示不限。",
    "stream_backlog_seconds": "一个流最多可积压多少秒未识别的声音；发得更快的客户端会被要求放慢。",
    "max_wait_seconds": "预计等待超过这么久，就拒绝新任务（秒）。",
    "request_timeout_seconds": "发送方发请求头超过这么久，或在请求体中停顿这么久，就断开。",
    "body_timeout_seconds": "请求体须在这段时间（秒）内传完，并且每秒不少于 1000 字节。半小时传 100 MB 是每秒 56 kB。",
    "drain_seconds": "停止时最多为处理中的工作等多久。",
    "cluster_role": "本服务在集群中的角色：none 独立工作；door（门）应答调用方而不识别；home（家）负责识别。",
    "cluster_redis_url": "集群各节点借以找到彼此的流的 Redis。",
    "cluster_secret": "门与家互相证明身份所用的密钥：一长串随机文字，须保密。",
    "cluster_listen": "家在哪个地址等门来连，host:port；端口 0 表示任取一个；0.0.0.0 则以本机名让门来连。",
    "cluster_node": "本节点在别处显示的名字；不设则为主机名加进程号。",
    "log_level": "记录的最低级别。",
    "metrics_public": "也向其他机器显示 /metrics，不只向本机。",
    "log_format": "日志给人看（text）还是给机器看（json）。",
}


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page."""
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, table(chinese=PurePosixPath(page.file.src_uri).parts[0] == "zh"))


def table(*, chinese: bool = False) -> str:
    """All settings as a Markdown table; what has no Chinese words yet is shown in English."""
    head = "| 设置 | 默认值 | 取值 | 含义 |" if chinese else "| Setting | Default | Values | Meaning |"
    rows = [head, "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (CHINESE.get(name) if chinese else None) or field.description or ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {_default(name, field)} | {_values(field, chinese)} | {meaning} |")
    return "\n".join(rows)


def _default(name: str, field: FieldInfo) -> str:
    if name == "data_dir":
        return "`data/`"
    default = field.default
    if default in (None, ""):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _values(field: FieldInfo, chinese: bool) -> str:
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    bounds = [
        f"{sign} {getattr(rule, attribute):g}"
        for rule in field.metadata
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"))
        if getattr(rule, attribute, None) is not None
    ]
    number, text = ("数字", "文本") if chinese else ("number", "text")
    kinds = {int: number, float: number, bool: "`true`, `false`"}
    return " ".join([kinds.get(kind, text) if isinstance(kind, type) else text, *bounds])
