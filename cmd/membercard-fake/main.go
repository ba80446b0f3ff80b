// Membercard-fake is the fake WeChat Pay of package membercardtest as a program, for tests of clients in any language. It listens
// on loopback, on one port as WeChat Pay and on another one with a control API and a page. It writes what a client needs into a
// folder:
//
//	membercard-fake [-addr 127.0.0.1:0] [-control 127.0.0.1:0] [-dir DIR] [-seed FILE] [-keys DIR] [-tls] [-certificates]
//		[-switching] [-brand-edition] [-ids-in-query] [-rate N] [-lang zh] [-json] [-keep] [-allow-remote]
//
//	DIR/config.json         the addresses, identities, the APIv3 key, and the names of the key files
//	DIR/apiclient_key.pem   the merchant API private key (商户API私钥)
//	DIR/apiclient_cert.pem  the merchant API certificate (商户API证书)
//	DIR/pub_key.pem         the WeChat Pay public key (微信支付公钥), to verify answers and to encrypt
//	DIR/public_key_id.txt   its id
//	DIR/apiv3_key.txt       the APIv3 key (APIv3密钥)
//	DIR/tls_cert.pem        with -tls: the certificate that clients must trust
//
// Without -seed it has one card template and one user card to begin with, named in config.json. A seed is JSON or YAML as
// membercardtest/control.md describes it. With -keys the keys are made once and are the same at each start. The control API opens
// and deletes cards, injects faults, delivers notifications, shows requests and resets.
//
// Its first line of output says where it listens; then comes one line for each request: time, number, operation, path, status,
// Request-ID, and when it was refused the reason in words and the source of the rule. They are in Chinese with -lang zh or a
// Chinese LANG. It ends on SIGHUP, SIGINT or SIGTERM with status 0 within a second and removes what it wrote, unless -keep is given.
// In scripts build it first: go run does not pass SIGTERM on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/internal/language"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "membercard-fake:", err)
		os.Exit(1)
	}
}

// flagValues are what the flags say.
type flagValues struct {
	addr, control, dir, seed, keys, lang                   string
	tls, certificates, switching, brandEdition, idsInQuery bool
	json, keep, allowRemote                                bool
	rate                                                   int
}

func parseFlags(args []string, stderr io.Writer) (v flagValues, err error) {
	flags := flag.NewFlagSet("membercard-fake", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&v.addr, "addr", "127.0.0.1:0", "`address` to listen on; port 0 is any free one")
	flags.StringVar(&v.control, "control", "127.0.0.1:0", "`address` of the control API and its page; empty: none")
	flags.StringVar(&v.dir, "dir", "", "`folder` for config.json and the keys (default a new temporary one)")
	flags.StringVar(&v.seed, "seed", "", "JSON or YAML `file` with templates, cards, activities and exchanges")
	flags.StringVar(&v.keys, "keys", "", "`folder` of fixed keys, which are made there once (default new keys at each start)")
	flags.BoolVar(&v.tls, "tls", false, "serve HTTPS with a certificate that is made and written to tls_cert.pem")
	flags.BoolVar(&v.certificates, "certificates", false, "a merchant number with platform certificates")
	flags.BoolVar(&v.switching, "switching", false, "with -certificates: the switch to the public key has begun")
	flags.BoolVar(&v.brandEdition, "brand-edition", false, "the service as a brand calls it for itself")
	flags.BoolVar(&v.idsInQuery, "ids-in-query", false, "ids in the query, as the official pages of 2025.06.22 had it")
	flags.IntVar(&v.rate, "rate", 0, "answer 429 beyond `N` requests a second for one operation (default no limit)")
	flags.StringVar(&v.lang, "lang", "", "`language` of the lines, en or zh (default by LANG)")
	flags.BoolVar(&v.json, "json", false, "write all lines as JSON")
	flags.BoolVar(&v.keep, "keep", false, "leave the files when the program ends")
	flags.BoolVar(&v.allowRemote, "allow-remote", false, "listen on addresses that other machines reach")
	if err := flags.Parse(args); err != nil {
		return v, err
	}
	chosen, err := language.Chosen(v.lang, os.Getenv)
	v.lang = chosen
	switch {
	case err != nil:
		return v, err
	case v.rate < 0:
		return v, errors.New("-rate must not be negative")
	case v.switching && !v.certificates:
		return v, errors.New("-switching goes with -certificates")
	case v.brandEdition && v.certificates:
		return v, errors.New("-certificates and -brand-edition exclude each other: a brand has no platform certificates")
	case flags.NArg() > 0:
		return v, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return v, nil
}

// newServer returns the fake that the flags describe, which reports its requests.
func (v *flagValues) newServer(lines *report) (*membercardtest.Server, error) {
	options, err := v.options()
	if err != nil {
		return nil, err
	}
	var server *membercardtest.Server
	server = membercardtest.NewServer(append(options, membercardtest.OnRequest(func(r membercardtest.Request) {
		lines.request(r)
		if r.Number%10_000 == 0 { // they are reported, and the program may run for weeks
			server.ClearRequests()
		}
	}))...)
	if v.switching {
		server.StartSwitch()
	}
	server.LimitRate(v.rate)
	return server, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	v, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	seed, err := readSeed(v.seed)
	if err != nil {
		return err
	}
	lines := &report{out: stdout, json: v.json, language: v.lang}
	server, err := v.newServer(lines)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.Plant(seed); err != nil {
		return err
	}

	listener, err := listen(ctx, v.addr, v.allowRemote)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	files, err := newFolder(v.dir)
	if err != nil {
		return err
	}
	if !v.keep {
		defer func() { err = errors.Join(err, files.remove()) }()
	}
	c := newConfig(server)
	keyFiles := server.KeyFiles()
	service := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	services := []serving{{service, listener}}
	c.BaseURL = "http://" + reachable(listener)
	if v.tls {
		certificate, pem, err := newTLSCertificate()
		if err != nil {
			return err
		}
		service.TLSConfig, keyFiles[tlsFile] = certificate, pem
		c.BaseURL, c.TLSCertificate = "https://"+reachable(listener), tlsFile
	}
	if v.control != "" {
		controlListener, err := listen(ctx, v.control, v.allowRemote)
		if err != nil {
			return fmt.Errorf("-control: %w", err)
		}
		defer func() { _ = controlListener.Close() }()
		control := &membercardtest.Control{Server: server, Seed: seed, AllowRemote: v.allowRemote, PerSecond: v.rate}
		services = append(services, serving{&http.Server{Handler: control, ReadHeaderTimeout: 10 * time.Second}, controlListener})
		c.ControlURL = "http://" + reachable(controlListener)
	}
	if err := files.write(keyFiles, c); err != nil {
		return err
	}
	lines.listening(c, filepath.Join(files.dir, configFile))
	return serve(ctx, services)
}

// options returns those of the server.
func (v *flagValues) options() ([]membercardtest.Option, error) {
	var options []membercardtest.Option
	if v.keys != "" {
		merchant, platform, err := fixedKeys(v.keys)
		if err != nil {
			return nil, fmt.Errorf("-keys: %w", err)
		}
		options = append(options, membercardtest.WithMerchantKey(merchant), membercardtest.WithPlatformKey(platform))
	}
	if v.certificates {
		options = append(options, membercardtest.WithCertificates())
	}
	if v.brandEdition {
		options = append(options, membercardtest.WithBrandEdition())
	}
	if v.idsInQuery {
		options = append(options, membercardtest.WithIDsInQuery(
			membercard.OperationUpdateUserCard, membercard.OperationConfirmUserCard, membercard.OperationInvalidateUserCard))
	}
	return options, nil
}

// serving is an HTTP server and where it listens.
type serving struct {
	*http.Server
	listener net.Listener
}

// serve serves until the context ends. What is under way then has a moment to end.
func serve(ctx context.Context, services []serving) error {
	ended := make(chan error, len(services))
	for _, s := range services {
		go func() {
			if s.TLSConfig != nil {
				ended <- s.ServeTLS(s.listener, "", "")
				return
			}
			ended <- s.Serve(s.listener)
		}()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 300*time.Millisecond)
	defer cancel()
	for _, s := range services {
		if err := s.Shutdown(last); err != nil {
			_ = s.Close() // a request that is half sent, or somebody who watches
		}
	}
	return nil
}

// listen refuses an address that other machines reach: the fake gives away its private keys.
func listen(ctx context.Context, addr string, allowRemote bool) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if !allowRemote && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address; use -allow-remote if other machines are to reach it", addr)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", resolved.String())
}

// reachable is where clients of this machine find the listener.
func reachable(listener net.Listener) string {
	addr := listener.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", addr.Port)
	}
	return addr.String()
}

// defaultSeed is the one member of a program without -seed.
func defaultSeed() membercardtest.Seed {
	return membercardtest.Seed{
		Cards: []membercard.Card{{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0"}},
		UserCards: []membercard.UserCard{{
			CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0", UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
			Level: "黄金会员", PhoneNumber: membercard.NewSensitive("13800000000"),
		}},
	}
}

// newConfig has what a client needs, of the first template and card where there are some.
func newConfig(server *membercardtest.Server) config {
	clientConfig := server.Config()
	c := config{
		MchID: clientConfig.MchID, BrandID: clientConfig.BrandID, CertificateSerial: clientConfig.CertificateSerial,
		PublicKeyID: clientConfig.PublicKeyID, APIv3Key: clientConfig.APIv3Key, PrivateKey: privateKeyFile, Certificate: certificateFile,
	}
	if clientConfig.PublicKey != nil {
		c.PublicKey = publicKeyFile
	}
	own := func(brand string) bool { return clientConfig.BrandID == "" || brand == clientConfig.BrandID }
	cards, userCards := server.Cards(), server.UserCards()
	if at := slices.IndexFunc(cards, func(card membercard.Card) bool { return own(card.BrandID) }); at >= 0 {
		c.BrandID, c.CardID = cards[at].BrandID, cards[at].CardID
	}
	if at := slices.IndexFunc(userCards, func(card membercard.UserCard) bool { return own(card.BrandID) }); at >= 0 {
		card := userCards[at]
		c.BrandID, c.CardID, c.UserCardCode, c.OpenID = card.BrandID, card.CardID, card.UserCardCode, card.OpenID
	}
	return c
}
