import type {
  CreateTableNode,
  DataTypeNode,
  KyselyPlugin,
  OperationNode,
  PluginTransformQueryArgs,
  PluginTransformResultArgs,
  QueryResult,
  RootOperationNode,
  UnknownRow,
} from 'kysely';
import { OperationNodeTransformer, RawNode } from 'kysely';

/** PostgreSQL's words for SQLite's types: 8 bytes for numbers, and texts that sort by their bytes. */
const types: Readonly<Record<string, string>> = {
  integer: 'bigint',
  real: 'double precision',
  blob: 'bytea',
  text: 'text collate "C"',
};

class Translator extends OperationNodeTransformer {
  protected override transformDataType(node: DataTypeNode): DataTypeNode {
    const type = types[node.dataType];
    // A raw node stands in for the type: the compiler writes either.
    return type === undefined ? node : (RawNode.createWithSql(type) as OperationNode as DataTypeNode);
  }

  protected override transformCreateTable(node: CreateTableNode): CreateTableNode {
    const { endModifiers = [], ...table } = super.transformCreateTable(node);
    return { ...table, endModifiers: endModifiers.filter((modifier) => !isWithoutRowid(modifier)) };
  }
}

function isWithoutRowid(node: OperationNode): boolean {
  return node.kind === 'RawNode' && (node as RawNode).sqlFragments.join('').trim().toLowerCase() === 'without rowid';
}

/** Lets PostgreSQL run the migrations that were written for SQLite, so that there is one of each. */
export class SqliteWords implements KyselyPlugin {
  readonly #translator = new Translator();

  transformQuery({ node }: PluginTransformQueryArgs): RootOperationNode {
    return this.#translator.transformNode(node);
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return result;
  }
}
