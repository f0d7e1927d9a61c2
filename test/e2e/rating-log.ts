/**
 * Rating logs in the MovieTweetings format (`user::movie::rating::seconds`, films as `id::title (year)::genres`): the real
 * one where FRESHET_DATA or ../shared/data has it, and a small simulated one.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const candidates = [
  process.env.FRESHET_DATA,
  join(import.meta.dirname, '../../../shared/data'),
].filter(folder => folder !== undefined)

/** Folder of MovieTweetings' ratings.dat and movies.dat; undefined where it is not to be had. */
export const realLog: string | undefined = candidates
  .flatMap(folder => [folder, join(folder, 'movietweetings-100k')])
  .find(folder => existsSync(join(folder, 'ratings.dat')))

export const howToGetIt =
  'left out, as there is no log: put ratings.dat and movies.dat of the MovieTweetings 100K snapshot (github.com/sidooms/MovieTweetings) into a folder and name it in FRESHET_DATA'

/** The last `count` ratings by time, with their films; all of them for Infinity. Writes into `folder`. */
export function cutRealLog(from: string, folder: string, count: number): string {
  const lines = readFileSync(join(from, 'ratings.dat'), 'utf8').trimEnd().split('\n')
  const seconds = (line: string): number => Number(line.split('::')[3])
  const newest = [...lines].sort((a, b) => seconds(b) - seconds(a)).slice(0, count)
  const kept = new Set(newest)
  const ratings = lines.filter(line => kept.has(line))
  const films = new Set(ratings.map(line => line.split('::')[1]))
  const movies = readFileSync(join(from, 'movies.dat'), 'utf8')
    .trimEnd()
    .split('\n')
    .filter(line => films.has(line.split('::')[0]))
  return writeLog(folder, ratings, movies)
}

/** Films in favour for a day, users of one to forty ratings in sittings; the same for the same seed. */
export function simulateLog(folder: string, count: number, seed = 1): string {
  let state = seed
  const random = (): number => {
    // Numerical Recipes' linear congruential generator: repeats everywhere
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const films = 400
  const begin = Date.UTC(2013, 5, 1) / 1000
  const ratings: string[] = []
  for (let user = 1; ratings.length < count; user++) {
    let at = begin + Math.floor(random() * 14 * 86_400)
    const many = 1 + Math.floor(random() ** 3 * 40)
    for (let i = 0; i < many; i++) {
      at += random() < 0.7 ? Math.floor(random() * 900) : Math.floor(random() * 86_400)
      const inFavour = Math.floor((at - begin) / 86_400) * 11
      const film = (inFavour + Math.floor(random() ** 3 * films)) % films
      ratings.push(`${user}::${1000 + film}::${1 + Math.floor(random() * 10)}::${at}`)
    }
  }
  const genres = ['Action', 'Drama', 'Comedy', 'Horror', 'Documentary']
  const movies = Array.from(
    { length: films },
    (_, film) =>
      `${1000 + film}::Film ${film} (${1990 + (film % 23)})::${genres[film % 5]}|${genres[film % 3]}`,
  )
  return writeLog(folder, ratings.slice(0, count), movies)
}

/** Writes both files of a log; gives the ratings' path. */
export function writeLog(
  folder: string,
  ratings: readonly string[],
  movies: readonly string[],
): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'movies.dat'), `${movies.join('\n')}\n`)
  const file = join(folder, 'ratings.dat')
  writeFileSync(file, `${ratings.join('\n')}\n`)
  return file
}
