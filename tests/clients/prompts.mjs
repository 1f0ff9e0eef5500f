// Calls Prompts of @posthog/ai as a program would: options and calls come in as JSON, what each gave goes out as JSON.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { Prompts } = createRequire(`${process.argv[2]}/package.json`)('@posthog/ai')
const { options, calls } = JSON.parse(readFileSync(0, 'utf8'))
const prompts = new Prompts(options)
const results = []
let warnings = []
console.warn = (...parts) => warnings.push(parts.map(String).join(' '))

for (const [method, ...args] of calls) {
  warnings = []
  try {
    results.push({ value: await prompts[method](...args), warnings })
  } catch (error) {
    results.push({ error: error.message, retryAfter: error.retryAfterSeconds ?? null, warnings })
  }
}
process.stdout.write(JSON.stringify(results))
