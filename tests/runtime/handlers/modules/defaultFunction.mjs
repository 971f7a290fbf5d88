export default async () => 'the default itself';
