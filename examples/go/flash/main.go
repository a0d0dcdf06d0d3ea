// The sentences of an audio file of any usual format with their times; needs nothing but Go 1.19 or newer.
// Usage: go run flash/main.go FILE [HOT WORD ...]
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type answer struct {
	FlashResult struct {
		Sentences []struct {
			Text      string `json:"text"`
			BeginTime int    `json:"begin_time"`
			EndTime   int    `json:"end_time"`
		} `json:"sentences"`
	} `json:"flash_result"`
	Error *struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

func main() {
	if len(os.Args) < 2 || os.Getenv("KEY") == "" {
		fail("usage: go run flash/main.go FILE [HOT WORD ...], with KEY in the environment")
	}
	path := os.Args[1]
	audio, err := os.Open(path)
	if err != nil {
		fail(err)
	}
	defer audio.Close()
	about, err := audio.Stat()
	if err != nil {
		fail(err)
	}
	if about.Size() == 0 {
		fail(path + " is empty: nothing was sent")
	}
	base := os.Getenv("URL")
	if base == "" {
		base = "http://127.0.0.1:8300"
	}
	request, err := http.NewRequest(http.MethodPost, base+"/v1/audio/asr/flash", audio)
	if err != nil {
		fail(err)
	}
	request.ContentLength = about.Size()
	request.Header.Set("Authorization", "Bearer "+os.Getenv("KEY"))
	request.Header.Set("format", strings.ToLower(strings.TrimPrefix(filepath.Ext(path), ".")))
	request.Header.Set("hot-words", url.QueryEscape(strings.Join(os.Args[2:], ",")))

	client := http.Client{Timeout: 10 * time.Minute}
	response, err := client.Do(request)
	if err != nil {
		fail(err)
	}
	defer response.Body.Close()
	var said answer
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
		fail(err)
	}
	if said.Error != nil {
		fail(fmt.Sprintf("%d %s: %s", response.StatusCode, said.Error.Type, said.Error.Message))
	}
	for _, sentence := range said.FlashResult.Sentences {
		fmt.Printf("%8.2f %8.2f  %s\n", float64(sentence.BeginTime)/1000, float64(sentence.EndTime)/1000, sentence.Text)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
