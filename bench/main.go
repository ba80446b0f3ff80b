// Bench measures what this SDK adds to a call, in one run on one machine. It prints a table with the floor, wechatpay-go, gopay and
// the targets. Nothing but ratios of the same run is comparable.
//
//	cd bench && go run .        # a few minutes; Linux, for the processor time of a thread
//
// The floor is the least a call can do, by hand on the standard library: func floor in contenders.go. All
// get the same answer, signed beforehand, with three encrypted values. Before anything is timed every
// contender's request signature is checked and its result compared. Blocks of a few calls are timed in random
// order and divided by the floor of the same round; a run whose two floors differ too much is not counted.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/hsm/openssl"
)

func main() {
	rounds := flag.Int("rounds", 200, "`number` of rounds of blocks")
	stubbed := flag.Bool("without-rsa", false, "this build has no RSA; the program starts it by itself")
	flag.Parse()
	k := newKeys()
	a, err := newAnswer(k)
	if err != nil {
		panic(err)
	}
	t := &table{}
	if *stubbed {
		withRSAStubbed(t, k, a, *rounds)
	} else {
		fmt.Printf("%s, %s/%s, %d processors%s, wechatpay-go v0.2.21, gopay v1.5.114, %s\n",
			runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), commit(), time.Now().Format(time.DateOnly))
		checkAll(k, a)
		inMemory(t, k, a, *rounds)
		const roundsForOneOverTLS = 28 // of which each takes long
		overTLS(t, k, a, max(*rounds/roundsForOneOverTLS, 1))
		againstLatency(t, k, a)
	}
	t.print()
	if !*stubbed {
		if err := withoutRSA("-without-rsa", "-rounds", fmt.Sprint(*rounds)); err != nil {
			panic(err)
		}
	}
}

func newKeys() *keys {
	make2048 := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	}
	return &keys{make2048(), make2048()}
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return ", commit " + strings.TrimSpace(string(out))
}

const wechatPay = "https://api.mch.weixin.qq.com"

// contendersFor returns all of them over one client. The floor comes first.
func contendersFor(k *keys, client *http.Client) []contender {
	own := newOurs(k, k.merchant, client, wechatPay)
	return []contender{
		floor(k, client, wechatPay), ours(own, 0), ours(own, 1), ours(own, 3),
		official(k, client, wechatPay, false), official(k, client, wechatPay, true), other(k, client, wechatPay),
	}
}

// checking verifies every request's signature before it lets the answer through.
type checking struct {
	k       *keys
	answer  http.RoundTripper
	checked int
}

func (c *checking) RoundTrip(r *http.Request) (*http.Response, error) {
	_, items, found := strings.Cut(r.Header.Get("Authorization"), "WECHATPAY2-SHA256-RSA2048 ")
	if !found {
		return nil, errors.New("no Authorization")
	}
	values := map[string]string{}
	for item := range strings.SplitSeq(items, ",") {
		name, value, _ := strings.Cut(item, "=")
		values[strings.TrimSpace(name)] = strings.Trim(value, `"`)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	digest := sha256.Sum256([]byte(r.Method + "\n" + r.URL.RequestURI() + "\n" + values["timestamp"] + "\n" + values["nonce_str"] + "\n" + string(body) + "\n"))
	signature, err := base64.StdEncoding.DecodeString(values["signature"])
	if err == nil {
		err = rsa.VerifyPKCS1v15(&c.k.merchant.PublicKey, crypto.SHA256, digest[:], signature)
	}
	if err != nil || values["mchid"] != mchID || values["serial_no"] != serial {
		return nil, fmt.Errorf("wrong signature: %w", err)
	}
	c.checked++
	return c.answer.RoundTrip(r)
}

// checkAll makes every contender's call once, with its signature checked and its result compared. It is made again with an answer
// that was tampered with, which all must refuse.
func checkAll(k *keys, a *answer) {
	transport := &checking{k: k, answer: a}
	forged := &answer{body: []byte(strings.Replace(string(a.body), "EFFECTIVE", "EFFECTIVF", 1)), header: a.header}
	for i, c := range contendersFor(k, &http.Client{Transport: transport}) {
		got, err := c.call(context.Background())
		want := result{"EFFECTIVE", openID, map[bool]string{true: phone}[c.opened]}
		if err != nil || got != want || transport.checked != i+1 {
			panic(fmt.Sprint(c.name, ": ", got, err))
		}
	}
	for _, c := range contendersFor(k, &http.Client{Transport: forged}) {
		if _, err := c.call(context.Background()); err == nil {
			panic(c.name + " believes a forged answer")
		}
	}
}

func inMemory(t *table, k *keys, a *answer, rounds int) {
	client := &http.Client{Transport: a}
	contenders := contendersFor(k, client)
	calls := make([]func(), len(contenders))
	for i, c := range contenders {
		calls[i] = must(c)
	}
	p := t.quiet(rounds, 4, 0.01, calls)
	t.section(fmt.Sprintf("GetUserCard in memory, %d rounds; the floor takes %.2f ms of CPU; the two floors: %v", rounds, ms(p.floor.cpu), p.cpu[0]))
	for i, c := range contenders {
		allocs, bytes := allocations(calls[i])
		if i == 0 {
			t.row(c.name, fmt.Sprintf("CPU 1, %d allocs, %d B", allocs, bytes), "", true)
			continue
		}
		t.row(c.name, fmt.Sprintf("CPU %v, wall %v of the floor, %d allocs, %d B", p.cpu[i], p.wall[i], allocs, bytes), "", true)
	}
	allocs, bytes := allocations(calls[1])
	t.check("allocations per call", float64(allocs), "%.0f", 62)
	t.check("bytes per call", float64(bytes), "%.0f", 7*1024)
	keyOperations(t, k, client)
	t.noise(p)
	t.check("CPU over the floor, nothing decrypted", p.cpu[1].median, "%.3f", 1.02)
	t.check("CPU over wechatpay-go decrypting three, none decrypted", p.cpu[1].median/p.cpu[5].median, "%.3f", 0.27)
	t.check("CPU over wechatpay-go decrypting three, one decrypted", p.cpu[2].median/p.cpu[5].median, "%.3f", 0.52)
	updates(t, k, a, rounds/2)
	byHand(t, k, client, rounds/2)
	overOpenSSL(t, k, client, rounds/2)
}

// keyOperations counts operations with the private key.
func keyOperations(t *table, k *keys, client *http.Client) {
	for _, open := range []int{0, 1, 3} {
		key := &countingKey{PrivateKey: k.merchant}
		c := newOurs(k, key, client, wechatPay)
		must(ours(c, open))()
		t.row(fmt.Sprintf("private-key operations of a call with %d decrypted", open), fmt.Sprint(key.operations.Load()), fmt.Sprint(1+open), key.operations.Load() == int64(1+open))
	}
	key := &countingKey{PrivateKey: k.merchant}
	c := newOurs(k, key, client, wechatPay)
	card, err := c.GetUserCard(context.Background(), membercard.GetUserCardRequest{BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID})
	if err != nil {
		panic(err)
	}
	for range 2 {
		if _, err := c.Decrypt(card.PhoneNumber); err != nil {
			panic(err)
		}
	}
	t.row("private-key operations when one value is decrypted twice", fmt.Sprint(key.operations.Load()), "2", key.operations.Load() == 2)
}

// updates compares UpdateUserCard with three encrypted values to its parts.
func updates(t *table, k *keys, a *answer, rounds int) {
	own := newOurs(k, k.merchant, &http.Client{Transport: a}, wechatPay)
	values := []string{phone, "男", "足球"}
	encrypt := func(text string) string {
		data, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &k.platform.PublicKey, []byte(text), nil)
		if err != nil {
			panic(err)
		}
		return base64.StdEncoding.EncodeToString(data)
	}
	parts := func() {
		body, err := json.Marshal([]string{encrypt(values[0]), encrypt(values[1]), encrypt(values[2])})
		if err != nil {
			panic(err)
		}
		digest := sha256.Sum256(append([]byte("PATCH\n"+updateURI+"\n1\nnonce\n"), body...))
		if _, err := rsa.SignPKCS1v15(nil, k.merchant, crypto.SHA256, digest[:]); err != nil {
			panic(err)
		}
		if err := verifyByHand(k, a.header, a.body); err != nil {
			panic(err)
		}
		var card decoded
		if err := json.Unmarshal(a.body, &card); err != nil {
			panic(err)
		}
	}
	update := func() {
		_, err := own.UpdateUserCard(context.Background(), membercard.UpdateUserCardRequest{
			BrandID: brandID, CardID: cardID, UserCardCode: code, OpenID: openID, PhoneNumber: membercard.NewSensitive(values[0]),
			UserInformation: &membercard.UserInfo{
				CommonFieldList: []membercard.UserInfoCommonField{{Name: membercard.CommonFieldFlagSex, Value: membercard.NewSensitive(values[1])}},
				CustomFieldList: []membercard.UserInfoCustomField{{Name: "喜欢的运动", UserChosenValues: []membercard.Sensitive{membercard.NewSensitive(values[2])}}},
			},
		})
		if err != nil {
			panic(err)
		}
	}
	p := t.quiet(rounds, 4, 0.01, []func(){parts, update})
	t.noise(p)
	t.check("UpdateUserCard with three encrypted values: CPU over its parts", p.cpu[1].median, "%.3f", 1.03)
}

// byHand compares a key without the values that make signing fast with a parsed one.
func byHand(t *table, k *keys, client *http.Client, rounds int) {
	bare := &rsa.PrivateKey{PublicKey: k.merchant.PublicKey, D: k.merchant.D, Primes: k.merchant.Primes}
	p := t.quiet(rounds, 4, 0.01, []func(){
		must(ours(newOurs(k, k.merchant, client, wechatPay), 0)), must(ours(newOurs(k, bare, client, wechatPay), 0)),
	})
	t.noise(p)
	t.check("a key built by hand: CPU over a parsed one", p.cpu[1].median, "%.3f", 1.01)
}

// overOpenSSL compares a key that OpenSSL computes with with crypto/rsa's.
func overOpenSSL(t *table, k *keys, client *http.Client, rounds int) {
	key, err := openssl.NewKey(k.merchant)
	if err != nil {
		t.row("a call that OpenSSL signs", "not measured: "+err.Error(), "", true)
		return
	}
	p := t.quiet(rounds, 4, 0.01, []func(){
		must(ours(newOurs(k, k.merchant, client, wechatPay), 0)), must(ours(newOurs(k, key, client, wechatPay), 0)),
	})
	t.noise(p)
	t.check("a call that OpenSSL signs: CPU over one that crypto/rsa signs", p.cpu[1].median, "%.3f", 0.72)
}

// withRSAStubbed is run by the build without RSA.
func withRSAStubbed(t *table, k *keys, a *answer, rounds int) {
	client := &http.Client{Transport: a}
	decode := contender{"decoding the answer alone", func(context.Context) (result, error) {
		var card decoded
		return result{}, json.Unmarshal(a.body, &card)
	}, false}
	contenders := []contender{
		decode, floor(k, client, wechatPay), ours(newOurs(k, k.merchant, client, wechatPay), 0),
		official(k, client, wechatPay, false), other(k, client, wechatPay),
	}
	calls := make([]func(), len(contenders))
	for i, c := range contenders {
		calls[i] = must(c)
	}
	p := t.quiet(rounds*2, 100, 0.02, calls)
	t.section(fmt.Sprintf("the same without RSA, for all; decoding takes %.1f µs; the two floors: %v", ms(p.floor.cpu)*1000, p.cpu[0]))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	call := calls[2]
	for range 1000 {
		call()
	}
	before := heap()
	for range 100_000 {
		call()
	}
	after := heap()
	for i, c := range contenders[1:] {
		t.row(c.name, fmt.Sprintf("CPU %v of the decoding", p.cpu[i+1]), "", true)
	}
	t.row("heap after 1,000 and after 101,000 calls", fmt.Sprintf("%d kB, %d kB", before/1024, after/1024), "the same within 64 kB", after < before+64*1024)
	t.noise(p)
	t.check("CPU over the decoding", p.cpu[2].median, "%.2f", 1.30)
}

// table is what is printed.
type table struct {
	lines  []string
	missed int
	noisy  bool // what is measured now is not to be counted
}

func (t *table) section(title string) {
	t.noisy = false
	t.lines = append(t.lines, "", "**"+title+"**", "", "| | measured | target | |", "| --- | --- | --- | --- |")
}

func (t *table) row(what, measured, target string, ok bool) {
	mark := ""
	switch {
	case target == "":
	case t.noisy:
		mark = "not counted"
	case ok:
		mark = "met"
	default:
		mark = "MISSED"
		t.missed++
	}
	t.lines = append(t.lines, fmt.Sprintf("| %s | %s | %s | %s |", what, measured, target, mark))
}

func (t *table) check(what string, measured float64, format string, most float64) {
	t.row(what, fmt.Sprintf(format, measured), "at most "+fmt.Sprint(most), measured <= most)
}

// quiet measures until the two floors agree, five times at most. What was too noisy is not counted.
func (t *table) quiet(rounds, perBlock int, noiseLimit float64, calls []func()) (p paired) {
	for range 5 {
		if p = measure(rounds, perBlock, noiseLimit, calls); !p.tooNoisy {
			return p
		}
		fmt.Fprintln(os.Stderr, "too noisy, not counted: the two floors differ:", p.cpu[0])
	}
	return p
}

// noise says when a run is not to be counted.
func (t *table) noise(p paired) {
	if t.noisy = p.tooNoisy; t.noisy {
		t.row("TOO NOISY", "the two floors differ: "+p.cpu[0].String(), fmt.Sprintf("within %.0f %%", p.noiseLimit*100), false)
	}
}

func (t *table) print() {
	for _, line := range t.lines {
		fmt.Fprintln(os.Stdout, line)
	}
}
