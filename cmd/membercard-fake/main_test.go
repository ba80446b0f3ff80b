package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

func TestMain(m *testing.M) {
	if os.Getenv("MEMBERCARD_FAKE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the fake, running.
type program struct {
	config config
	dir    string
	lines  *bufio.Scanner
	end    func(os.Signal) error
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, os.Args[0], args...)
	command.Env = append(os.Environ(), "MEMBERCARD_FAKE_PROGRAM=1", "LC_ALL=C")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	p := &program{lines: bufio.NewScanner(out)}
	require.True(t, p.lines.Scan())
	var first struct{ Listening, Control, Config string }
	if json.Unmarshal(p.lines.Bytes(), &first) != nil {
		_, err := fmt.Sscanf(p.lines.Text(), "listening %s control %s config %s", &first.Listening, &first.Control, &first.Config)
		require.NoError(t, err, p.lines.Text())
	}
	baseURL, file := first.Listening, first.Config
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &p.config))
	assert.Equal(t, baseURL, p.config.BaseURL)
	assert.Equal(t, first.Control, p.config.ControlURL)
	p.dir = filepath.Dir(file)
	p.end = func(signal os.Signal) error {
		require.NoError(t, command.Process.Signal(signal))
		_, _ = io.Copy(io.Discard, out)
		return command.Wait()
	}
	return p
}

// client is made of the files alone, as a client in another language is.
func (p *program) client(t *testing.T) *membercard.Client {
	t.Helper()
	read := func(name string) []byte {
		info, err := os.Stat(filepath.Join(p.dir, name))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		data, err := os.ReadFile(filepath.Join(p.dir, name))
		require.NoError(t, err)
		return data
	}
	privateKey, err := membercard.ParsePrivateKey(read(p.config.PrivateKey))
	require.NoError(t, err)
	publicKey, err := membercard.ParsePublicKey(read(p.config.PublicKey))
	require.NoError(t, err)
	certificate, err := membercard.ParseCertificate(read(p.config.Certificate))
	require.NoError(t, err)
	assert.Equal(t, p.config.APIv3Key+"\n", string(read("apiv3_key.txt")))
	client, err := membercard.New(membercard.Config{
		MchID: p.config.MchID, CertificateSerial: p.config.CertificateSerial, PrivateKey: privateKey, Certificate: certificate,
		PublicKeyID: p.config.PublicKeyID, PublicKey: publicKey, APIv3Key: p.config.APIv3Key, BaseURL: p.config.BaseURL,
	})
	require.NoError(t, err)
	return client
}

func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals")
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := start(t)
		client := p.client(t)
		get := membercard.GetUserCardRequest{
			BrandID: p.config.BrandID, CardID: p.config.CardID, UserCardCode: p.config.UserCardCode, OpenID: p.config.OpenID,
		}
		card, err := client.GetUserCard(t.Context(), get)
		require.NoError(t, err)
		assert.Equal(t, membercard.UserCardStateEffective, card.UserCardState)
		get.UserCardCode = "1"
		_, err = client.GetUserCard(t.Context(), get)
		require.ErrorIs(t, err, membercard.ErrNotFound)
		require.True(t, p.lines.Scan())
		assert.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3} #1 GetUserCard GET /v3/brand/partner/card-member/user-cards/\{user_card_code\} 200 [0-9A-F]+-0$`, p.lines.Text())
		require.True(t, p.lines.Scan())
		assert.Regexp(t, `#2 .* 404 NOT_FOUND [0-9A-F]+-\d+: no card has this template, code and openid \(documented 4015336980\)$`, p.lines.Text())
		require.NoError(t, p.end(signal), "it ends cleanly")
		assert.NoDirExists(t, p.dir, "the temporary folder is removed")
	}
}

func TestProgramInAGivenFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals")
	}
	dir := filepath.Join(t.TempDir(), "new")
	p := start(t, "-dir", dir, "-json", "-addr", "localhost:0")
	assert.Equal(t, dir, p.dir)
	_, err := p.client(t).ListCards(t.Context(), membercard.ListCardsRequest{BrandID: p.config.BrandID, Limit: 21})
	require.Error(t, err)
	require.True(t, p.lines.Scan())
	var line map[string]any
	require.NoError(t, json.Unmarshal(p.lines.Bytes(), &line))
	for name, want := range map[string]any{
		"number": 1.0, "operation": "ListCards", "method": "GET", "path": "/v3/brand/partner/card-member/cards", "status": 400.0, "code": "PARAM_ERROR",
		"reason": "query parameter limit: must be from 1 to 20 (documented)", "source": "documented", "violation": false,
	} {
		assert.Equal(t, want, line[name], name)
	}
	assert.NotEmpty(t, line["time"])
	assert.NotEmpty(t, line["request_id"])
	require.NoError(t, p.end(os.Interrupt))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "private keys are removed at the end")

	kept := start(t, "-dir", dir, "-keep")
	require.NoError(t, kept.end(os.Interrupt))
	assert.FileExists(t, filepath.Join(dir, kept.config.PrivateKey))
}

func TestProgramInChinese(t *testing.T) {
	p := start(t, "-lang", "zh")
	client := p.client(t)
	_, err := client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: p.config.BrandID, Limit: 21})
	require.Error(t, err)
	require.True(t, p.lines.Scan())
	assert.Regexp(t, "400 PARAM_ERROR [0-9A-F-]+: 参数错误；查询参数 limit: 必须在 1 到 20 之间（文档）$", p.lines.Text())
	_, err = client.GetUserCard(t.Context(), membercard.GetUserCardRequest{
		BrandID: p.config.BrandID, CardID: p.config.CardID, UserCardCode: "1", OpenID: p.config.OpenID,
	})
	require.ErrorIs(t, err, membercard.ErrNotFound)
	require.True(t, p.lines.Scan())
	assert.Regexp(t, "404 NOT_FOUND [0-9A-F-]+: 用户会员卡不存在（文档 4015336980）$", p.lines.Text())

	response, err := http.Post(p.config.ControlURL+"/faults", "application/json", strings.NewReader(`{"kind":"error answer","status":429,"code":"RATELIMIT_EXCEEDED","message":"频率超限"}`))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusNoContent, response.StatusCode)
	_, err = client.ListCards(t.Context(), membercard.ListCardsRequest{BrandID: p.config.BrandID})
	require.NoError(t, err, "retried")
	require.True(t, p.lines.Scan())
	assert.Regexp(t, "429 RATELIMIT_EXCEEDED [0-9A-F-]+: fault: error answer$", p.lines.Text())
	require.NoError(t, p.end(os.Interrupt))
}

// TestProgramLeavesFilesAlone that it did not write: a real key may have the name of one of its own.
func TestProgramLeavesFilesAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pub_key.pem")
	require.NoError(t, os.WriteFile(path, []byte("a real key"), 0o600))
	err := run(t.Context(), []string{"-dir", dir}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "give -dir a folder of its own")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "a real key", string(data))
	assert.NoFileExists(t, filepath.Join(dir, "apiclient_key.pem"), "what it wrote before it gave up is removed")
}

func TestProgramRefuses(t *testing.T) {
	for says, args := range map[string][]string{
		"not a loopback address":        {"-addr", "0.0.0.0:0"},
		":0 is not a loopback address":  {"-addr", ":0"},
		"unexpected argument":           {"start"},
		"-rate must not be negative":    {"-rate", "-3"},
		"flag provided but not defined": {"-port", "1"},
		"missing port":                  {"-addr", "127.0.0.1"},
		"-lang is zh or en":             {"-lang", "fr"},
		"-control: 0.0.0.0:0":           {"-control", "0.0.0.0:0"},
		"-switching goes with":          {"-switching"},
		"exclude each other":            {"-certificates", "-brand-edition"},
		"-seed: open":                   {"-seed", filepath.Join(t.TempDir(), "none")},
		"has files of a merchant":       {"-keys", filepath.Dir(writeFile(t, "apiclient_key.pem", "x"))},
	} {
		err := run(t.Context(), args, io.Discard, io.Discard)
		require.ErrorContains(t, err, says)
	}
}

func TestProgramEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-dir", t.TempDir()}, in, io.Discard) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(line, "listening http://127.0.0.1:"))
	cancel()
	require.NoError(t, <-done)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestSeeds: YAML and JSON alike, and an error names the object that it is about.
func TestSeeds(t *testing.T) {
	yaml := "cards:\n- {card_id: t-1, brand_id: \"1004\"}\n- {card_id: t-2, brand_id: \"1005\"}\nuser_cards:\n- {card_id: t-2, openid: o-1, user_card_code: \"1\", phone_number: \"13800000000\"}\n"
	p := start(t, "-seed", writeFile(t, "seed.yaml", yaml))
	assert.Equal(t, [2]string{"t-2", "o-1"}, [2]string{p.config.CardID, p.config.OpenID})
	card, err := p.client(t).GetUserCard(t.Context(), membercard.GetUserCardRequest{BrandID: "1005", CardID: "t-2", UserCardCode: "1", OpenID: "o-1"})
	require.NoError(t, err)
	phone, err := p.client(t).Decrypt(card.PhoneNumber)
	require.NoError(t, err)
	assert.Equal(t, "13800000000", phone)
	require.NoError(t, p.end(os.Interrupt))
	for text, says := range map[string]string{
		`{"cards":[{},{"cardid":"x"}]}`:                                  `cards[1]: json: unknown field "cardid"`,
		`{"user_cards":[{"card_id":"t","openid":"o","phone_number":1}]}`: "user_cards[0]",
		"members:\n- {}": "members is not known",
		"cards: [":       "neither JSON nor YAML",
		"cards: 1":       "the seed is no JSON object of lists",
		`{"cards":[{"card_id":"t"},{"card_id":"t"}]}`: "cards[1]: AddCard",
	} {
		err := run(t.Context(), []string{"-seed", writeFile(t, "seed", text)}, io.Discard, io.Discard)
		require.ErrorContains(t, err, says)
	}
}

// TestFixedKeys are the same at each start.
func TestFixedKeys(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	var first [2]string
	for range 2 {
		p := start(t, "-keys", keys)
		read := func(name string) string {
			data, err := os.ReadFile(filepath.Join(p.dir, name))
			require.NoError(t, err)
			return string(data)
		}
		both := [2]string{read(p.config.PrivateKey), read(p.config.PublicKey)}
		if first[0] != "" {
			assert.Equal(t, first, both)
		}
		first = both
		_, err := p.client(t).ListCards(t.Context(), membercard.ListCardsRequest{BrandID: "1004"})
		require.NoError(t, err)
		require.NoError(t, p.end(os.Interrupt))
	}
	require.NoError(t, os.WriteFile(filepath.Join(keys, "merchant_key.pem"), []byte("x"), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{"-keys", keys}, io.Discard, io.Discard), "merchant_key.pem: ")
}

// TestOtherServices: over HTTPS, with platform certificates, as a brand calls it, with ids in the query, with a rate.
func TestOtherServices(t *testing.T) {
	for name, args := range map[string][]string{
		"TLS": {"-tls"}, "certificates": {"-certificates"}, "switching": {"-certificates", "-switching"}, "brand": {"-brand-edition"}, "query": {"-ids-in-query"},
	} {
		p := start(t, args...)
		config, err := membercard.LoadConfig(os.DirFS(p.dir))
		require.NoError(t, err, name)
		config.BaseURL = p.config.BaseURL
		if p.config.TLSCertificate != "" {
			pem, err := os.ReadFile(filepath.Join(p.dir, p.config.TLSCertificate))
			require.NoError(t, err)
			roots := x509.NewCertPool()
			require.True(t, roots.AppendCertsFromPEM(pem))
			transport := membercard.NewTransport()
			transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
			config.HTTPClient = &http.Client{Transport: transport}
		}
		client, err := membercard.New(config)
		require.NoError(t, err, name)
		_, err = client.UpdateUserCard(t.Context(), membercard.UpdateUserCardRequest{
			BrandID: p.config.BrandID, CardID: p.config.CardID, UserCardCode: p.config.UserCardCode, OpenID: p.config.OpenID, Level: new("x"),
			PhoneNumber: membercard.NewSensitive("13900000000"),
		})
		require.NoError(t, err, name)
		require.NoError(t, p.end(os.Interrupt), name)
	}
}

// TestProgramEndsSoon: with a request that is half sent, and with somebody who watches, on every signal.
func TestProgramEndsSoon(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals")
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t)
		half, err := net.Dial("tcp", strings.TrimPrefix(p.config.BaseURL, "http://"))
		require.NoError(t, err)
		_, err = io.WriteString(half, "POST /v3/brand/partner/card-member/cards HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		watching, err := http.Get(p.config.ControlURL + "/requests/events")
		require.NoError(t, err)
		begun := time.Now()
		require.NoError(t, p.end(signal), "status 0")
		assert.Less(t, time.Since(begun), 3*time.Second, "a second, on a busy machine")
		_ = half.Close()
		_ = watching.Body.Close()
		assert.NoDirExists(t, p.dir)
	}
}
