// The text of a short recording, with the official SDK; only the base URL is not Feishu's.
// Usage: go run . FILE.pcm      16 kHz, 16 bit, mono, at most 60 s
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	lark "github.com/larksuite/oapi-sdk-go/v3"
	larkspeech "github.com/larksuite/oapi-sdk-go/v3/service/speech_to_text/v1"
)

func main() {
	if len(os.Args) != 2 || os.Getenv("APP_ID") == "" || os.Getenv("APP_SECRET") == "" {
		fail(errors.New("usage: go run . FILE.pcm, with APP_ID and APP_SECRET in the environment"))
	}
	audio, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	if len(audio) == 0 {
		fail(fmt.Errorf("%s is empty: nothing was sent", os.Args[1]))
	}
	url := os.Getenv("URL")
	if url == "" {
		url = "http://127.0.0.1:8300"
	}
	client := lark.NewClient(os.Getenv("APP_ID"), os.Getenv("APP_SECRET"), lark.WithOpenBaseUrl(url))

	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		fail(err)
	}
	request := larkspeech.NewFileRecognizeSpeechReqBuilder().
		Body(larkspeech.NewFileRecognizeSpeechReqBodyBuilder().
			Speech(larkspeech.NewSpeechBuilder().Speech(base64.StdEncoding.EncodeToString(audio)).Build()).
			Config(larkspeech.NewFileConfigBuilder().
				FileId(hex.EncodeToString(id)).Format("pcm").EngineType("16k_auto").Build()).
			Build()).
		Build()

	response, err := client.SpeechToText.V1.Speech.FileRecognize(context.Background(), request)
	if err != nil {
		fail(err)
	}
	if !response.Success() {
		fail(fmt.Errorf("%d %s (log id %s)", response.Code, response.Msg, response.RequestId()))
	}
	fmt.Println(*response.Data.RecognitionText)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
