package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"riverqueue.com/riverui"

	"github.com/wechatpay-cards/membercard"
)

//go:embed staff
var staffFiles embed.FS

// pages are the pages for the staff. Nothing of a person is in a URL: cards have ids of their own there.
type pages struct {
	*service
	sessions  *scs.SessionManager
	templates *template.Template
}

// staffPages serves /staff/: whoever is signed in looks, and who may decide decides. secure: browsers come by TLS alone.
func (s *service) staffPages(ctx context.Context, secure bool) (http.Handler, error) {
	p := &pages{service: s, sessions: scs.New()}
	p.sessions.Store, p.sessions.HashTokenInStore = sessions{s.store}, true
	p.sessions.Lifetime, p.sessions.IdleTimeout = 12*time.Hour, time.Hour
	p.sessions.Cookie.Name, p.sessions.Cookie.Path = "staff", "/staff"
	p.sessions.Cookie.Secure, p.sessions.Cookie.SameSite, p.sessions.Cookie.Persist = secure, http.SameSiteStrictMode, false
	p.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) { p.fail(w, r, err) }
	var err error
	if p.templates, err = template.New("").Funcs(template.FuncMap{"word": word, "time": inChina}).ParseFS(staffFiles, "staff/*.html"); err != nil {
		return nil, err
	}
	queues, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(s.jobs, nil), JobListHideArgsByDefault: true, Logger: s.logger, Prefix: "/staff/river",
	})
	if err != nil {
		return nil, err
	}
	if err := queues.Start(ctx); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /staff/style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, staffFiles, "staff/style.css") })
	mux.HandleFunc("GET /staff/sign-in", func(w http.ResponseWriter, r *http.Request) { p.show(w, r, staff{}, "sign-in.html", nil) })
	mux.HandleFunc("POST /staff/sign-in", p.signIn)
	mux.HandleFunc("GET /staff/{$}", p.may(roleLook, p.overview))
	mux.HandleFunc("POST /staff/search", p.may(roleLook, p.search))
	mux.HandleFunc("GET /staff/members/{id}", p.may(roleLook, p.member))
	mux.HandleFunc("POST /staff/members/{id}/phone", p.may(roleLook, p.phone))
	mux.HandleFunc("POST /staff/members/{id}/details", p.may(roleDecide, p.details))
	mux.HandleFunc("POST /staff/members/{id}/invalidation", p.may(roleDecide, p.invalidation))
	mux.HandleFunc("POST /staff/decisions/{job}", p.may(roleDecide, p.decide))
	mux.HandleFunc("GET /staff/imports/{id}", p.may(roleLook, p.importPage))
	mux.HandleFunc("POST /staff/imports", p.may(roleDecide, p.upload))
	mux.HandleFunc("POST /staff/imports/{id}/stop", p.may(roleDecide, p.stop))
	mux.HandleFunc("GET /staff/records", p.may(roleDecide, p.records))
	mux.HandleFunc("GET /staff/accounts", p.may(roleDecide, p.accounts))
	mux.HandleFunc("POST /staff/accounts", p.may(roleDecide, p.addAccount))
	mux.HandleFunc("POST /staff/accounts/disable", p.may(roleDecide, p.disableAccount))
	mux.HandleFunc("GET /staff/password", p.may("", func(w http.ResponseWriter, r *http.Request, who staff) error {
		p.show(w, r, who, "password.html", nil)
		return nil
	}))
	mux.HandleFunc("POST /staff/password", p.may("", p.password))
	mux.HandleFunc("POST /staff/sign-out", p.may("", func(w http.ResponseWriter, r *http.Request, _ staff) error {
		return p.to(w, r, "/staff/", p.sessions.Destroy(r.Context()))
	}))
	mux.HandleFunc("/staff/river/", p.may(roleDecide, func(w http.ResponseWriter, r *http.Request, who staff) error {
		if r.Method != http.MethodGet {
			if err := s.store.record(r.Context(), nil, who.Name, "任务队列 "+r.URL.Path, ""); err != nil {
				return err
			}
		}
		w.Header().Del("Content-Security-Policy") // its page has a script of its own
		queues.ServeHTTP(w, r)
		return nil
	}))
	headers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		mux.ServeHTTP(w, r)
	})
	return http.NewCrossOriginProtection().Handler(p.sessions.LoadAndSave(headers)), nil
}

// may serves those who are signed in and have the role; "" is any, also with a password that is to be changed.
func (p *pages) may(role string, serve func(http.ResponseWriter, *http.Request, staff) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := p.sessions.GetString(r.Context(), "name")
		who, err := p.store.staffNamed(r.Context(), name)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			p.fail(w, r, err)
			return
		case err != nil, who.Disabled, who.Version != p.sessions.GetInt64(r.Context(), "version"):
			http.Redirect(w, r, "/staff/sign-in", http.StatusSeeOther)
			return
		case who.MustChange && role != "":
			http.Redirect(w, r, "/staff/password", http.StatusSeeOther)
			return
		case role == roleDecide && who.Role != roleDecide:
			p.tell(w, r, who, http.StatusForbidden, "没有这个权限")
			return
		}
		err = serve(w, r, who)
		switch {
		case err == nil:
		case errors.Is(err, errNoMember), errors.Is(err, sql.ErrNoRows):
			p.tell(w, r, who, http.StatusNotFound, "没有找到")
		default:
			p.fail(w, r, err)
		}
	}
}

func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	p.logger.ErrorContext(r.Context(), "a page of the staff failed", "pattern", r.Pattern, "error", err)
	p.tell(w, r, staff{}, http.StatusServiceUnavailable, "暂时无法处理，请稍后再试")
}

// to sends the browser to another page when a form was dealt with.
func (p *pages) to(w http.ResponseWriter, r *http.Request, url string, err error) error {
	if err == nil {
		http.Redirect(w, r, url, http.StatusSeeOther) //nolint:gosec // it begins with /staff/
	}
	return err
}

// tell shows a sentence.
func (p *pages) tell(w http.ResponseWriter, r *http.Request, who staff, status int, sentence string) {
	p.write(w, r, status, who, "sentence.html", sentence)
}

// show shows a page.
func (p *pages) show(w http.ResponseWriter, r *http.Request, who staff, page string, data any) {
	p.write(w, r, http.StatusOK, who, page, data)
}

func (p *pages) write(w http.ResponseWriter, r *http.Request, status int, who staff, page string, data any) {
	var body bytes.Buffer
	err := p.templates.ExecuteTemplate(&body, page, struct {
		Who    staff
		Decide bool
		Data   any
	}{who, who.Role == roleDecide, data})
	if err != nil {
		p.logger.ErrorContext(r.Context(), "a page of the staff failed", "page", page, "error", err)
		http.Error(w, "暂时无法处理，请稍后再试", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	who, err := p.store.signIn(r.Context(), r.PostFormValue("name"), r.PostFormValue("password"))
	switch {
	case errors.Is(err, errSignIn), errors.Is(err, errTooSoon):
		p.write(w, r, http.StatusForbidden, staff{}, "sign-in.html", err.Error())
		return
	case err == nil:
		err = p.begin(r, who)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/staff/", http.StatusSeeOther)
}

// begin begins a session under a new token.
func (p *pages) begin(r *http.Request, who staff) error {
	p.sessions.Put(r.Context(), "name", who.Name)
	p.sessions.Put(r.Context(), "version", who.Version)
	return p.sessions.RenewToken(r.Context())
}

func (p *pages) password(w http.ResponseWriter, r *http.Request, who staff) error {
	_, err := p.store.signIn(r.Context(), who.Name, r.PostFormValue("old"))
	if err == nil && r.PostFormValue("new") != r.PostFormValue("again") {
		err = errors.New("两次输入的新密码不一致")
	} else if err == nil {
		err = p.store.setPassword(r.Context(), who.Name, r.PostFormValue("new"))
	}
	if err != nil {
		p.write(w, r, http.StatusBadRequest, who, "password.html", err.Error())
		return nil
	}
	if err := p.store.record(r.Context(), nil, who.Name, "修改密码", ""); err != nil {
		return err
	}
	if who, err = p.store.staffNamed(r.Context(), who.Name); err == nil {
		err = p.begin(r, who)
	}
	return p.to(w, r, "/staff/", err)
}

// attention is a job that is in doubt, or for a person to decide.
type attention struct {
	Job              int64
	Kind, State, Why string
	Member           string // its id
	At               time.Time
}

// attention lists what is in doubt and what is for a person: of one card, or of all.
func (s *store) attention(ctx context.Context, card cardName) (all []attention, err error) {
	list, err := s.db.QueryContext(ctx, s.sql(`SELECT a.job, a.kind, a.state, a.why, COALESCE(m.id, ''), a.at FROM attention a
		LEFT JOIN members m ON m.card_id = a.card_id AND m.user_card_code = a.user_card_code
		WHERE a.state <> ?1 AND (?2 = '' OR a.card_id = ?2 AND a.user_card_code = ?3) ORDER BY a.at LIMIT 200`), attentionDecided, card.CardID, card.UserCardCode)
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }()
	for list.Next() {
		var a attention
		var at int64
		if err := list.Scan(&a.Job, &a.Kind, &a.State, &a.Why, &a.Member, &at); err != nil {
			return nil, err
		}
		a.At = time.UnixMilli(at)
		all = append(all, a)
	}
	return all, list.Err()
}

// overview is the first page: what waits for a person, what is in doubt, how many there are of what, and imports.
func (p *pages) overview(w http.ResponseWriter, r *http.Request, who staff) error {
	ctx := r.Context()
	list, err := p.store.attention(ctx, cardName{})
	if err != nil {
		return err
	}
	members, err := p.store.counts(ctx, "SELECT state, '', COUNT(*) FROM members GROUP BY state ORDER BY state")
	if err != nil {
		return err
	}
	jobs, err := p.store.counts(ctx, countJobs)
	if err != nil {
		return err
	}
	var imports []importProgress
	ids, err := p.store.strings(ctx, "SELECT id FROM imports ORDER BY at DESC LIMIT 20")
	for _, id := range ids {
		if progress, progressErr := p.store.importProgress(ctx, id); progressErr == nil {
			imports = append(imports, progress)
		}
	}
	p.show(w, r, who, "overview.html", map[string]any{"Attention": list, "Members": members, "Jobs": jobs, "Imports": imports})
	return err
}

// search finds the cards of an openid or a code. What was searched for is in the body, and so in no log and no history.
func (p *pages) search(w http.ResponseWriter, r *http.Request, who staff) error {
	q := strings.TrimSpace(r.PostFormValue("q"))
	list, err := p.store.db.QueryContext(r.Context(), p.store.sql("SELECT "+memberColumns+" FROM members WHERE openid = ?1 OR user_card_code = ?1 ORDER BY card_id, user_card_code LIMIT 100"), q)
	if err != nil {
		return err
	}
	defer func() { _ = list.Close() }()
	var found []memberView
	for list.Next() {
		m, err := scanMember(list)
		if err != nil {
			return err
		}
		found = append(found, viewOf(m))
	}
	p.show(w, r, who, "search.html", map[string]any{"Query": q, "Members": found})
	return list.Err()
}

// memberView is a card as a template reads it.
type memberView struct {
	ID, BrandID, CardID, UserCardCode, OpenID, State, Level string
	Balance                                                 int64
	PointsWait, DetailsWait                                 bool // WeChat Pay does not have them yet
}

func viewOf(m member) memberView {
	return memberView{
		ID: m.id, BrandID: m.brandID, CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.openID, State: m.state, Level: m.level,
		Balance: m.balance, PointsWait: m.pointsSent < m.pointsVersion, DetailsWait: m.detailsSent < m.detailsVersion,
	}
}

// entry is one of the ledger.
type entry struct {
	ID              string
	Points, Balance int64
	At              time.Time
}

// jobView is a job as a template reads it.
type jobView struct {
	ID          int64
	Kind, State string
	Attempt     int
	Error       string
}

func (p *pages) member(w http.ResponseWriter, r *http.Request, who staff) error {
	return p.memberPage(w, r, who, "", "")
}

// memberPage shows a member: the books, the card as WeChat Pay has it, the ledger, and jobs.
func (p *pages) memberPage(w http.ResponseWriter, r *http.Request, who staff, phone, sentence string) error {
	ctx := r.Context()
	m, err := p.store.memberByID(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	ledger, err := p.store.ledger(ctx, m.cardName)
	if err != nil {
		return err
	}
	jobs, err := p.jobsOf(ctx, m.cardName)
	if err != nil {
		return err
	}
	list, err := p.store.attention(ctx, m.cardName)
	if err != nil {
		return err
	}
	data := map[string]any{"Member": viewOf(m), "Ledger": ledger, "Jobs": jobs, "Attention": list, "Phone": phone, "Sentence": sentence}
	if card, err := p.read(ctx, m); err == nil {
		data["Card"] = map[string]any{"State": string(card.UserCardState), "Level": card.Level, "HasPhone": !card.PhoneNumber.IsZero()}
	} else {
		data["CardError"] = err.Error()
	}
	p.show(w, r, who, "member.html", data)
	return nil
}

// read reads a card at WeChat Pay.
func (p *pages) read(ctx context.Context, m member) (*membercard.UserCard, error) {
	ctx, cancel := context.WithTimeout(ctx, atOnce)
	defer cancel()
	return p.keys.client().GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: m.brandID, CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.openID})
}

// phone shows a phone number, which is recorded first.
func (p *pages) phone(w http.ResponseWriter, r *http.Request, who staff) error {
	m, err := p.store.memberByID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := p.store.record(r.Context(), nil, who.Name, "查看手机号", m.id); err != nil {
		return err
	}
	phone := ""
	card, err := p.read(r.Context(), m)
	if err == nil {
		phone, err = p.keys.client().Decrypt(card.PhoneNumber)
	}
	if err != nil {
		return p.memberPage(w, r, who, "", "手机号暂时无法读取")
	}
	return p.memberPage(w, r, who, phone, "")
}

// details changes the level.
func (p *pages) details(w http.ResponseWriter, r *http.Request, who staff) error {
	m, err := p.store.memberByID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	level := strings.TrimSpace(r.PostFormValue("level"))
	if n := len([]rune(level)); n < 1 || n > 10 {
		return p.memberPage(w, r, who, "", "等级为1至10个字符")
	}
	err = p.store.inTx(r.Context(), func(tx *sql.Tx) error {
		return errors.Join(p.changeDetails(r.Context(), tx, m.cardName, level, ""), p.store.record(r.Context(), tx, who.Name, "修改等级："+level, m.id))
	})
	return p.to(w, r, "/staff/members/"+m.id, err)
}

// invalidation invalidates a card, when its code was typed.
func (p *pages) invalidation(w http.ResponseWriter, r *http.Request, who staff) error {
	m, err := p.store.memberByID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	consent := strings.TrimSpace(r.PostFormValue("consent"))
	switch {
	case strings.TrimSpace(r.PostFormValue("code")) != m.UserCardCode:
		return p.memberPage(w, r, who, "", "输入的编码与会员卡编码不一致，未作废")
	case consent == "":
		return p.memberPage(w, r, who, "", "请填写用户同意的依据")
	}
	err = p.store.inTx(r.Context(), func(tx *sql.Tx) error {
		return errors.Join(p.requestInvalidation(r.Context(), tx, m.cardName, consent), p.store.record(r.Context(), tx, who.Name, "申请作废", m.id))
	})
	return p.to(w, r, "/staff/members/"+m.id, err)
}

// decide ends that a job is before the staff: it is tried again, or closed.
func (p *pages) decide(w http.ResponseWriter, r *http.Request, who staff) error {
	job, err := strconv.ParseInt(r.PathValue("job"), 10, 64)
	if err != nil {
		return sql.ErrNoRows
	}
	what := "了结任务 "
	if r.PostFormValue("again") != "" {
		what = "再试任务 "
	}
	err = p.store.inTx(r.Context(), func(tx *sql.Tx) error {
		first, err := p.store.decide(r.Context(), tx, job)
		if err != nil || !first {
			return err
		}
		if r.PostFormValue("again") != "" {
			retried, err := p.jobs.JobRetryTx(r.Context(), tx, job)
			if err == nil && retried.State == rivertype.JobStateRunning { // it showed its refusal, and ends in a moment
				err = errRunning
			}
			if err != nil {
				return err
			}
		}
		return p.store.record(r.Context(), tx, who.Name, what+strconv.FormatInt(job, 10), "")
	})
	switch {
	case errors.Is(err, errRunning):
		p.tell(w, r, who, http.StatusConflict, "任务还没有结束，请稍后再试")
		return nil
	case errors.Is(err, river.ErrNotFound):
		p.tell(w, r, who, http.StatusGone, "任务已过期，只能了结")
		return nil
	}
	return p.to(w, r, "/staff/", err)
}

var errRunning = errors.New("the job is running")

func (p *pages) importPage(w http.ResponseWriter, r *http.Request, who staff) error {
	progress, err := p.store.importProgress(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	type row struct {
		N          int
		State, Why string
	}
	var refused []row
	if err := p.store.listRefused(r.Context(), progress.ID, func(n int, state, why string) { refused = append(refused, row{n, state, why}) }); err != nil {
		return err
	}
	p.show(w, r, who, "import.html", map[string]any{"Progress": progress, "Refused": refused})
	return nil
}

const largestFile = 64 << 20

// upload takes a file of members.
func (p *pages) upload(w http.ResponseWriter, r *http.Request, who staff) error {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Minute)) // a file takes longer than a form
	r.Body = http.MaxBytesReader(w, r.Body, largestFile)
	upload, header, err := r.FormFile("file")
	var input []byte
	if err == nil {
		input, err = io.ReadAll(upload)
	}
	if err != nil {
		p.tell(w, r, who, http.StatusBadRequest, "没有收到文件，或文件超过64MB")
		return nil
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }()
	file, err := readImport(header.Filename, strings.TrimSpace(r.PostFormValue("brand_id")), strings.TrimSpace(r.PostFormValue("card_id")), input)
	if err != nil {
		p.tell(w, r, who, http.StatusBadRequest, "文件没有导入："+err.Error())
		return nil
	}
	err = p.startImport(context.WithoutCancel(r.Context()), file, who.Name) // also when the browser is gone
	return p.to(w, r, "/staff/imports/"+file.id, err)
}

func (p *pages) stop(w http.ResponseWriter, r *http.Request, who staff) error {
	id := r.PathValue("id")
	err := errors.Join(p.stopImport(r.Context(), id, who.Name), p.store.record(r.Context(), nil, who.Name, "停止导入 "+id, ""))
	return p.to(w, r, "/staff/imports/"+id, err)
}

func (p *pages) records(w http.ResponseWriter, r *http.Request, who staff) error {
	list, err := p.store.db.QueryContext(r.Context(), "SELECT at, who, what, member FROM records ORDER BY at DESC, id LIMIT 500")
	if err != nil {
		return err
	}
	defer func() { _ = list.Close() }()
	type record struct {
		At                time.Time
		Who, What, Member string
	}
	var all []record
	for list.Next() {
		var one record
		var at int64
		if err := list.Scan(&at, &one.Who, &one.What, &one.Member); err != nil {
			return err
		}
		one.At = time.UnixMilli(at)
		all = append(all, one)
	}
	p.show(w, r, who, "records.html", all)
	return list.Err()
}

func (p *pages) accounts(w http.ResponseWriter, r *http.Request, who staff) error {
	return p.accountsPage(w, r, who, nil)
}

func (p *pages) accountsPage(w http.ResponseWriter, r *http.Request, who staff, more map[string]any) error {
	all, err := p.store.allStaff(r.Context())
	if err != nil {
		return err
	}
	p.show(w, r, who, "accounts.html", map[string]any{"All": all, "More": more})
	return nil
}

// addAccount adds a colleague, whose first password is shown once.
func (p *pages) addAccount(w http.ResponseWriter, r *http.Request, who staff) error {
	name, role := strings.TrimSpace(r.PostFormValue("name")), roleLook
	if r.PostFormValue("role") == roleDecide {
		role = roleDecide
	}
	password, err := p.store.newPassword(r.Context(), name, role, true)
	if password == "" && err == nil {
		err = errStaffName
	}
	if errors.Is(err, errStaffName) {
		return p.accountsPage(w, r, who, map[string]any{"Error": err.Error()})
	}
	if err == nil {
		err = p.store.record(r.Context(), nil, who.Name, "添加账号 "+name+"（"+word(role)+"）", "")
	}
	if err != nil {
		return err
	}
	return p.accountsPage(w, r, who, map[string]any{"Name": name, "Password": password})
}

func (p *pages) disableAccount(w http.ResponseWriter, r *http.Request, who staff) error {
	name := r.PostFormValue("name")
	if name == who.Name {
		return p.accountsPage(w, r, who, map[string]any{"Error": "不能停用自己"})
	}
	_, err := p.store.changed(r.Context(), nil, "UPDATE staff SET disabled = 1 WHERE name = ?1", name)
	return p.to(w, r, "/staff/accounts", errors.Join(err, p.store.record(r.Context(), nil, who.Name, "停用账号 "+name, "")))
}

// ledger lists the newest entries of a card.
func (s *store) ledger(ctx context.Context, card cardName) (all []entry, err error) {
	list, err := s.db.QueryContext(ctx, s.sql("SELECT id, points, balance, at FROM ledger WHERE card_id = ?1 AND user_card_code = ?2 ORDER BY at DESC, id LIMIT 100"), card.CardID, card.UserCardCode)
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }()
	for list.Next() {
		var e entry
		var at int64
		if err := list.Scan(&e.ID, &e.Points, &e.Balance, &at); err != nil {
			return nil, err
		}
		e.At = time.UnixMilli(at)
		all = append(all, e)
	}
	return all, list.Err()
}

// jobsOf lists the newest jobs about a card.
func (s *service) jobsOf(ctx context.Context, card cardName) (all []jobView, err error) {
	where := "args ->> '$.card_id' = ?1 AND args ->> '$.user_card_code' = ?2"
	values := []any{card.CardID, card.UserCardCode}
	if s.store.postgres { // by its index
		name, err := json.Marshal(card)
		if err != nil {
			return nil, err
		}
		where, values = "args @> CAST(?1 AS jsonb)", []any{string(name)}
	}
	list, err := s.store.db.QueryContext(ctx, s.store.sql("SELECT id FROM river_job WHERE "+where+" ORDER BY id DESC LIMIT 50"), values...)
	if err != nil {
		return nil, err
	}
	ids, err := scanAll[int64](list)
	for _, id := range ids {
		job, err := s.jobs.JobGet(ctx, id)
		if err != nil {
			continue // it was deleted meanwhile
		}
		view := jobView{ID: id, Kind: job.Kind, State: string(job.State), Attempt: job.Attempt}
		if len(job.Errors) > 0 {
			view.Error = job.Errors[len(job.Errors)-1].Error
		}
		all = append(all, view)
	}
	return all, err
}

// count is a number of something.
type count struct {
	What, More string
	N          int
}

const countJobs = "SELECT kind, CAST(state AS TEXT), COUNT(*) FROM river_job GROUP BY kind, state ORDER BY 1, 2"

// counts asks for numbers: of what, of what state, and how many.
func (s *store) counts(ctx context.Context, query string) (all []count, err error) {
	list, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }()
	for list.Next() {
		var c count
		if err := list.Scan(&c.What, &c.More, &c.N); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, list.Err()
}

func (s *store) strings(ctx context.Context, query string) ([]string, error) {
	list, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return scanAll[string](list)
}

// scanAll reads rows of one column.
func scanAll[T any](list *sql.Rows) (all []T, err error) {
	defer func() { _ = list.Close() }()
	for list.Next() {
		var one T
		if err := list.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, list.Err()
}

// china is where the staff's clocks are.
var china = time.FixedZone("", 8*60*60)

func inChina(t time.Time) string { return t.In(china).Format("2006-01-02 15:04:05") }

// words are those of the page for what the program calls otherwise.
var words = map[string]string{
	"EFFECTIVE": "有效", "INVALID": "已失效", "UNACTIVATED": "未激活", "EXPIRED": "已过期",
	"notification": "通知", "balance": "积分同步", "details": "等级与手机号", "invalidation": "作废", "import": "导入", "cleaning": "清理",
	"available": "等待", "scheduled": "稍后", "running": "进行中", "retryable": "稍后重试", "completed": "已完成", "cancelled": "已取消",
	"discarded": "已放弃", "pending": "等待", attentionDoubt: "结果未知，将自动查询", attentionOpen: "等待人工处理",
	importLoading: "正在读入", importStopped: "已停止", roleLook: "查看", roleDecide: "处理",
	rowRefused: "被拒绝", rowDeleted: "用户已删除会员卡，不再导入",
}

func word(s string) string {
	if w, found := words[s]; found {
		return w
	}
	return s
}

// sameToken compares without telling by its time where they differ.
func sameToken(a, b string) bool { return sha256.Sum256([]byte(a)) == sha256.Sum256([]byte(b)) }
