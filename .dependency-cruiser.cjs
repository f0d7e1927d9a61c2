/** Imports point one way (docs/architecture.md). Each rule's comment says where the code belongs instead. */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'Two files that need each other are one file, or both need a third.',
      from: {},
      // types alone are gone at run time: a cycle counts where every import in it stays
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'streams-stands-alone',
      severity: 'error',
      comment:
        'streams/ is the engine and knows no recommender: put recommender code into topologies/, sinks into sinks/.',
      from: { path: '^streams/' },
      to: { path: '^(topologies|schemas|sinks|replay|bin|console)/' },
    },
    {
      name: 'schemas-import-streams-only',
      severity: 'error',
      comment: 'schemas/ is what travels: what needs a topology or a sink belongs there.',
      from: { path: '^schemas/' },
      to: { path: '^(topologies|sinks|replay|bin|console)/' },
    },
    {
      name: 'topologies-know-no-sink',
      severity: 'error',
      comment:
        'topologies/ is the recommender: it emits through the Outbox; the sink is wired in bin/.',
      from: { path: '^topologies/', pathNot: '\\.(test|bench)\\.ts$' },
      to: { path: '^(sinks|replay|bin|console)/|^streams/(transport/(kafka|embedded)|runtime)/' },
    },
    {
      name: 'topologies-know-no-client',
      severity: 'error',
      comment: 'Only composition roots construct clients of Kafka, Redis or ClickHouse.',
      from: { path: '^topologies/' },
      to: { path: 'node_modules/(kafkajs|ioredis|@clickhouse|chdb|lmdb)' },
    },
    {
      name: 'sinks-know-no-topology',
      severity: 'error',
      comment:
        'sinks/ is where it ends: what a sink needs of a topology travels in the write itself.',
      from: { path: '^sinks/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(topologies|replay|bin|console)/' },
    },
    {
      name: 'nothing-imports-the-command',
      severity: 'error',
      comment: 'bin/ is the top: shared code moves down to where both may import it.',
      from: {
        path: '^(streams|schemas|sinks|topologies|replay)/',
        pathNot: '\\.(test|bench)\\.ts$',
      },
      to: { path: '^(bin|test)/' },
    },
    {
      name: 'kafkajs-privates-in-one-file',
      severity: 'error',
      comment: 'One file reaches into kafkajs: streams/transport/kafka/connections.ts.',
      from: {
        path: '^(?!test/)',
        pathNot: '^streams/transport/kafka/connections\\.ts$|\\.test\\.ts$',
      },
      to: { path: 'node_modules/kafkajs/src/(?!index)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.js'],
    },
  },
}
