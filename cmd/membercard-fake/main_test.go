package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
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
	baseURL, file, found := strings.Cut(strings.TrimPrefix(p.lines.Text(), "listening "), " config ")
	require.True(t, found, p.lines.Text())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &p.config))
	assert.Equal(t, baseURL, p.config.BaseURL)
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
		assert.Equal(t, "GetUserCard 200", p.lines.Text())
		require.True(t, p.lines.Scan())
		assert.Equal(t, "GetUserCard 404 NOT_FOUND: no card has this template, code and openid (documented 4015336980)", p.lines.Text())
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
	assert.JSONEq(t, `{"operation":"ListCards","status":400,"code":"PARAM_ERROR","reason":"query parameter limit: must be from 1 to 20 (documented)","violation":false}`, p.lines.Text())
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
	assert.Equal(t, "ListCards 400 PARAM_ERROR: 参数错误；查询参数 limit: 必须在 1 到 20 之间（文档）", p.lines.Text())
	_, err = client.GetUserCard(t.Context(), membercard.GetUserCardRequest{
		BrandID: p.config.BrandID, CardID: p.config.CardID, UserCardCode: "1", OpenID: p.config.OpenID,
	})
	require.ErrorIs(t, err, membercard.ErrNotFound)
	require.True(t, p.lines.Scan())
	assert.Equal(t, "GetUserCard 404 NOT_FOUND: 用户会员卡不存在（文档 4015336980）", p.lines.Text())
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
