// wechatpay-node-v3, a client that is not ours, with its default settings against the fake program: it takes the serial
// number from the certificate, in lower case. The environment variable MEMBERCARD_FAKE_CONFIG names the config.json that
// the program wrote.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import Pay from 'wechatpay-node-v3';

const file = process.env.MEMBERCARD_FAKE_CONFIG;
const config = JSON.parse(readFileSync(file));
const read = (name) => readFileSync(join(dirname(file), config[name]));

const pay = new Pay({ appid: 'wxea9c30890f48d5ae', mchid: config.mch_id, publicKey: read('certificate'), privateKey: read('private_key') });
Pay.certificates = { [config.public_key_id]: read('public_key') };

const base = '/v3/brand/partner/card-member';
const code = encodeURIComponent(config.user_card_code);
const ids = { brand_id: config.brand_id, card_id: config.card_id };
const user = { openid: config.openid };

// call sends what the client has signed, and has the client verify the answer. The client can not send PATCH, nor to another
// host than WeChat Pay's.
async function call(method, uri, params, headers = {}) {
  const authorization = pay.buildAuthorization(method, uri, params);
  const json = params ? { 'Content-Type': 'application/json' } : {};
  const answer = await fetch(config.base_url + uri, {
    method, headers: pay.getHeaders(authorization, { ...json, ...headers }), body: params && JSON.stringify(params),
  });
  return verified(answer);
}

async function verified(answer) {
  const body = await answer.text();
  const header = (name) => answer.headers.get(`wechatpay-${name}`);
  assert.equal(answer.status, 200, body);
  assert.ok(await pay.verifySign({
    timestamp: header('timestamp'), nonce: header('nonce'), serial: header('serial'), signature: header('signature'), body,
  }));
  return JSON.parse(body);
}

const query = (params) => new URLSearchParams(params).toString();
const readCard = () => call('GET', `${base}/user-cards/${code}?${query({ ...ids, ...user })}`);

test('the serial number is in lower case', () => {
  assert.equal(pay.serial_no, config.certificate_serial.toLowerCase());
});

test('read a card and decrypt its phone number', async () => {
  const card = await readCard();
  assert.equal(card.user_card_state, 'EFFECTIVE');
  assert.match(pay.privateDecrypt(card.phone_number), /^1\d{10}$/);
});

test('list templates', async () => {
  const page = await call('GET', `${base}/cards?${query({ brand_id: config.brand_id, offset: 0, limit: 20 })}`);
  assert.equal(page.data[0].card_id, config.card_id);
});

test('change a card with a phone number encrypted here', async () => {
  const before = pay.privateDecrypt((await readCard()).phone_number);
  const change = (number) => call('PATCH', `${base}/user-cards/${code}`,
    { ...ids, ...user, phone_number: pay.publicEncrypt(number, read('public_key')) }, { 'Wechatpay-Serial': config.public_key_id });
  await change('13911111111');
  assert.equal(pay.privateDecrypt((await readCard()).phone_number), '13911111111');
  await change(before);
});

test('upload a picture, the file first and meta without a type', async () => {
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
  const meta = { filename: 'card.png', sha256: createHash('sha256').update(png).digest('hex') };
  const uri = '/v3/marketing/favor/media/image-upload';
  const form = new FormData();
  form.append('file', new Blob([png], { type: 'image/png' }), meta.filename);
  form.append('meta', JSON.stringify(meta));
  const answer = await fetch(config.base_url + uri, {
    method: 'POST', headers: pay.getHeaders(pay.buildAuthorization('POST', uri, meta)), body: form,
  });
  assert.match((await verified(answer)).media_url, /^https:/);
});
