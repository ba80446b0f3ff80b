package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/wechatpay-cards/membercard"
)

// overview is the first page: what waits for a person, what is in doubt, how many there are of what, and imports.
func (p *pages) overview(w http.ResponseWriter, r *http.Request, who staff) error {
	ctx := r.Context()
	waiting, err := p.store.attention(ctx, cardName{})
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
	ids, err := list(ctx, p.store, single[string], "SELECT id FROM imports ORDER BY at DESC LIMIT 20")
	if err != nil {
		return err
	}
	for _, id := range ids {
		if progress, progressErr := p.store.importProgress(ctx, id); progressErr == nil {
			imports = append(imports, progress)
		}
	}
	p.show(w, r, who, "overview.html", map[string]any{"Attention": waiting, "Members": members, "Jobs": jobs, "Imports": imports})
	return nil
}

// search finds the cards of an openid or a code. What was searched for is in the body, and so in no log and no history.
func (p *pages) search(w http.ResponseWriter, r *http.Request, who staff) error {
	q := strings.TrimSpace(r.PostFormValue("q"))
	found, err := p.store.search(r.Context(), q)
	if err != nil {
		return err
	}
	p.show(w, r, who, "search.html", map[string]any{"Query": q, "Members": found})
	return nil
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
	waiting, err := p.store.attention(ctx, m.cardName)
	if err != nil {
		return err
	}
	data := map[string]any{"Member": viewOf(m), "Ledger": ledger, "Jobs": jobs, "Attention": waiting, "Phone": phone, "Sentence": sentence, "Token": rand.Text()}
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
	return p.redirect(w, r, "/staff/members/"+m.id, err)
}

// points books points by hand, with a reason.
func (p *pages) points(w http.ResponseWriter, r *http.Request, who staff) error {
	m, err := p.store.memberByID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	points, err := strconv.ParseInt(strings.TrimSpace(r.PostFormValue("points")), 10, 64)
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if err != nil || points == 0 || reason == "" {
		return p.memberPage(w, r, who, "", "请填写积分（可为负数）和原因")
	}
	err = p.addPoints(r.Context(), "staff-"+r.PostFormValue("token"), m.cardName, points, func(tx *sql.Tx) error {
		return p.store.record(r.Context(), tx, who.Name, fmt.Sprintf("更正积分 %+d：%s", points, reason), m.id)
	})
	if errors.Is(err, errTooLittle) {
		return p.memberPage(w, r, who, "", "积分不足")
	}
	return p.redirect(w, r, "/staff/members/"+m.id, err)
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
		return p.requestInvalidation(r.Context(), tx, m.cardName, consent, who.Name)
	})
	return p.redirect(w, r, "/staff/members/"+m.id, err)
}

// decide ends that a job is before the staff: it is tried again, or closed.
func (p *pages) decide(w http.ResponseWriter, r *http.Request, who staff) error {
	job, err := strconv.ParseInt(r.PathValue("job"), 10, 64)
	if err != nil {
		return sql.ErrNoRows
	}
	again, what := r.PostFormValue("again") != "", "了结任务 "
	if again {
		what = "再试任务 "
	}
	err = p.store.inTx(r.Context(), func(tx *sql.Tx) error {
		first, err := p.store.decide(r.Context(), tx, job)
		if err != nil || !first {
			return err
		}
		if err := p.endJob(r.Context(), tx, job, again); err != nil {
			return err
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
	return p.redirect(w, r, "/staff/", err)
}

// endJob has a job run again, or closes it. It is not decided about while it runs.
func (p *pages) endJob(ctx context.Context, tx *sql.Tx, id int64, again bool) error {
	job, err := p.jobs.JobGetTx(ctx, tx, id)
	if errors.Is(err, river.ErrNotFound) && !again {
		return nil
	}
	if err != nil {
		return err
	}
	if job.State == rivertype.JobStateRunning { // it showed its refusal, and ends in a moment
		return errRunning
	}
	if again {
		_, err = p.jobs.JobRetryTx(ctx, tx, id)
		return err
	}
	const card = "(card_id, user_card_code) IN (SELECT card_id, user_card_code FROM attention WHERE job = ?1)"
	switch job.Kind {
	case (invalidationJob{}).Kind(): // it can be asked for anew
		_, err = p.store.exec(ctx, tx, "DELETE FROM invalidations WHERE "+card, id)
	case (detailsJob{}).Kind(): // what was refused goes along with no later change
		_, err = p.store.exec(ctx, tx, "UPDATE members SET level = '', phone = '', details_sent = details_version WHERE "+card, id)
	}
	return err
}

var errRunning = errors.New("the job is running")

func (p *pages) importPage(w http.ResponseWriter, r *http.Request, who staff) error {
	progress, err := p.store.importProgress(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	refused, err := p.store.refusedRows(r.Context(), progress.ID)
	if err != nil {
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
	return p.redirect(w, r, "/staff/imports/"+file.id, err)
}

func (p *pages) stop(w http.ResponseWriter, r *http.Request, who staff) error {
	id := r.PathValue("id")
	err := p.store.record(r.Context(), nil, who.Name, "停止导入 "+id, "")
	if err == nil {
		err = p.stopImport(r.Context(), id, who.Name)
	}
	return p.redirect(w, r, "/staff/imports/"+id, err)
}

func (p *pages) records(w http.ResponseWriter, r *http.Request, who staff) error {
	all, err := p.store.records(r.Context())
	if err != nil {
		return err
	}
	p.show(w, r, who, "records.html", all)
	return nil
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
	password, err := p.store.addStaff(r.Context(), name, role)
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
	err := p.store.record(r.Context(), nil, who.Name, "停用账号 "+name, "")
	if err == nil {
		_, err = p.store.exec(r.Context(), nil, "UPDATE staff SET disabled = 1 WHERE name = ?1", name)
	}
	return p.redirect(w, r, "/staff/accounts", err)
}
