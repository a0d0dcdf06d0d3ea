"""Outlines of Feishu's SDKs for Go and Java, which no registry of CI has.

They are the names and types that the samples use, as the SDKs' sources have them. With them a compiler checks all else
in a sample.
"""

from __future__ import annotations

from pathlib import Path

_GO_MODULE = "github.com/larksuite/oapi-sdk-go/v3"
_GO = {
    "go.mod": f"module {_GO_MODULE}\n\ngo 1.19\n",
    "client.go": f"""package lark

import larkspeech "{_GO_MODULE}/service/speech_to_text/v1"

type Client struct {{
	SpeechToText struct{{ V1 struct{{ Speech larkspeech.Resource }} }}
}}
type ClientOptionFunc func(*Client)

func NewClient(appId, appSecret string, options ...ClientOptionFunc) *Client {{ return nil }}
func WithOpenBaseUrl(baseUrl string) ClientOptionFunc                        {{ return nil }}
""",
    "service/speech_to_text/v1/model.go": """package larkspeech

import "context"

type Resource struct{}
type Speech struct{}
type FileConfig struct{}
type FileRecognizeSpeechReqBody struct{}
type FileRecognizeSpeechReq struct{}
type FileRecognizeSpeechRespData struct{ RecognitionText *string }
type FileRecognizeSpeechResp struct {
	Code int
	Msg  string
	Data *FileRecognizeSpeechRespData
}

func (*FileRecognizeSpeechResp) Success() bool     { return true }
func (*FileRecognizeSpeechResp) RequestId() string { return "" }
func (*Resource) FileRecognize(ctx context.Context, req *FileRecognizeSpeechReq) (*FileRecognizeSpeechResp, error) {
	return nil, nil
}

type SpeechBuilder struct{}

func NewSpeechBuilder() *SpeechBuilder                     { return nil }
func (b *SpeechBuilder) Speech(speech string) *SpeechBuilder { return b }
func (b *SpeechBuilder) Build() *Speech                    { return nil }

type FileConfigBuilder struct{}

func NewFileConfigBuilder() *FileConfigBuilder                       { return nil }
func (b *FileConfigBuilder) FileId(id string) *FileConfigBuilder     { return b }
func (b *FileConfigBuilder) Format(format string) *FileConfigBuilder { return b }
func (b *FileConfigBuilder) EngineType(t string) *FileConfigBuilder  { return b }
func (b *FileConfigBuilder) Build() *FileConfig                      { return nil }

type BodyBuilder struct{}

func NewFileRecognizeSpeechReqBodyBuilder() *BodyBuilder        { return nil }
func (b *BodyBuilder) Speech(speech *Speech) *BodyBuilder       { return b }
func (b *BodyBuilder) Config(config *FileConfig) *BodyBuilder   { return b }
func (b *BodyBuilder) Build() *FileRecognizeSpeechReqBody       { return nil }

type ReqBuilder struct{}

func NewFileRecognizeSpeechReqBuilder() *ReqBuilder                       { return nil }
func (b *ReqBuilder) Body(body *FileRecognizeSpeechReqBody) *ReqBuilder { return b }
func (b *ReqBuilder) Build() *FileRecognizeSpeechReq                      { return nil }
""",
}

_SERVICE = "com.lark.oapi.service.speech_to_text"
_MODEL = f"{_SERVICE}.v1.model"


def _built(name: str, *setters: tuple[str, str]) -> str:
    methods = "".join(f"public Builder {setter}({kind} value) {{ return this; }}\n" for setter, kind in setters)
    return f"""package {_MODEL};
public class {name} {{
  public static Builder newBuilder() {{ return new Builder(); }}
  public static class Builder {{ {methods} public {name} build() {{ return null; }} }}
}}
"""


_JAVA = {
    "com.lark.oapi.Client": """package com.lark.oapi;
public class Client {
  public static Builder newBuilder(String appId, String appSecret) { return new Builder(); }
  public com.lark.oapi.service.speech_to_text.SpeechToTextService speechToText() { return null; }
  public static class Builder {
    public Builder openBaseUrl(String baseUrl) { return this; }
    public Client build() { return null; }
  }
}
""",
    "com.lark.oapi.service.speech_to_text.SpeechToTextService": """package com.lark.oapi.service.speech_to_text;
public class SpeechToTextService {
  public com.lark.oapi.service.speech_to_text.v1.V1 v1() { return null; }
}
""",
    "com.lark.oapi.service.speech_to_text.v1.V1": """package com.lark.oapi.service.speech_to_text.v1;
public class V1 {
  public com.lark.oapi.service.speech_to_text.v1.resource.Speech speech() { return null; }
}
""",
    f"{_SERVICE}.v1.resource.Speech": f"""package {_SERVICE}.v1.resource;
import {_MODEL}.*;
public class Speech {{
  public FileRecognizeSpeechResp fileRecognize(FileRecognizeSpeechReq req) throws Exception {{ return null; }}
}}
""",
    f"{_MODEL}.Speech": _built("Speech", ("speech", "String")),
    f"{_MODEL}.FileConfig": _built("FileConfig", ("fileId", "String"), ("format", "String"), ("engineType", "String")),
    f"{_MODEL}.FileRecognizeSpeechReqBody": _built(
        "FileRecognizeSpeechReqBody", ("speech", "Speech"), ("config", "FileConfig")
    ),
    f"{_MODEL}.FileRecognizeSpeechReq": _built(
        "FileRecognizeSpeechReq", ("fileRecognizeSpeechReqBody", "FileRecognizeSpeechReqBody")
    ),
    f"{_MODEL}.FileRecognizeSpeechRespBody": f"""package {_MODEL};
public class FileRecognizeSpeechRespBody {{ public String getRecognitionText() {{ return null; }} }}
""",
    f"{_MODEL}.FileRecognizeSpeechResp": f"""package {_MODEL};
public class FileRecognizeSpeechResp {{
  public boolean success() {{ return true; }}
  public int getCode() {{ return 0; }}
  public String getMsg() {{ return null; }}
  public String getRequestId() {{ return null; }}
  public FileRecognizeSpeechRespBody getData() {{ return null; }}
}}
""",
}


def write_go(folder: Path) -> str:
    """Write the outline of the Go SDK; what a program's `go.mod` needs to build with it."""
    for name, source in _GO.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    return f"module sample\n\ngo 1.19\n\nrequire {_GO_MODULE} v3.0.0\n\nreplace {_GO_MODULE} => {folder}\n"


def write_java(folder: Path) -> None:
    """Write the outline of the Java SDK as sources."""
    for name, source in _JAVA.items():
        file = folder / f"{name.replace('.', '/')}.java"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
