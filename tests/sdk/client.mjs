// One call with npm's openai. Arguments: base URL, key, model, "plain" or "stream". Prints what its user sees, as JSON.
import OpenAI from "openai";

const [baseURL, apiKey, model, how] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const messages = [{ role: "user", content: "Hello" }];
let seen;
try {
  if (how === "stream") {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    seen = { text: "" };
    for await (const chunk of stream) seen.text += chunk.choices[0].delta.content ?? "";
  } else {
    const answer = await client.chat.completions.create({ model, messages });
    seen = { text: answer.choices[0].message.content, cost: answer.usage.cost };
  }
} catch (error) {
  seen = { status: error.status, code: error.code, message: error.message, scope: error.error?.scope ?? null };
}
console.log(JSON.stringify(seen));
